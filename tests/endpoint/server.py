"""An endpoint on the loopback, with the faults that a test asks for."""

import hashlib
import http.server
import itertools
import re
import threading
from collections.abc import Callable
from typing import Any

from tests.endpoint.handler import Answer, Exchange, Fault, Handler, error


class Server:
    """Files, Uploads and jobs in memory; start and stop it with `with`."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, str] = {}
        self.uploads: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.exchanges: list[Exchange] = []
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.page = 20
        self.statuses = ["processed"]
        # The statuses of a job; each request for it is a step.
        self.course = ["queued", "running", "succeeded"]
        self.reached = threading.Event()
        self.held_too_long = False
        # Called once, after the first bytes of a large body were read.
        self.during_body: Callable[[], object] | None = None
        # Some servers create a file from a body that ends too early.
        self.accepts_torn = False
        self.wanted_key = "sk-test-1234567890"
        self._parts: dict[str, tuple[str, bytes, int]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        server = self

        class Serving(Handler):
            endpoint = server

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """Ignore clients that are gone: the tests kill them."""

        self._listener = Listener(("127.0.0.1", 0), Serving)
        self.url = f"http://127.0.0.1:{self._listener.server_port}/v1"

    def __enter__(self) -> "Server":
        threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def fail(
        self, route: str, kind: str | int, times: int = 1000, message: str = "why"
    ) -> None:
        self.faults.append(Fault(route, kind, times, message))

    def redirect(self, route: str, status: int, to: str, times: int = 1000) -> None:
        fault = Fault(route, status, times, headers=(("location", to),))
        self.faults.append(fault)

    def take_fault(self, route: str) -> Fault | None:
        with self._lock:
            self.requests.append(route)
            for index, fault in enumerate(self.faults):
                if fault.route == route and fault.times:
                    self.faults[index] = fault._replace(times=fault.times - 1)
                    return fault
        return None

    def open_uploads(self) -> list[str]:
        return [u["id"] for u in self.uploads.values() if u["status"] == "pending"]

    def tick(self) -> int:
        return 1_795_000_000 + next(self._numbers)

    def add_file(self, name: str, size: int, sha256: str = "") -> dict[str, Any]:
        number = self.tick()
        file = {
            "id": f"file-{number}",
            "object": "file",
            "bytes": size,
            "created_at": number,
            "filename": name,
            "purpose": "fine-tune",
            "status": self.statuses[0],
        }
        self.files[f"file-{number}"] = file
        self.contents[f"file-{number}"] = sha256
        return file

    def add_event(self, job: str, message: str, **more: object) -> dict[str, Any]:
        number = self.tick()
        event = {
            "object": "fine_tuning.job.event",
            "id": f"ftevent-{number}",
            "created_at": number,
            "level": "info",
            "message": message,
            "type": "message",
            **more,
        }
        self.events[job].append(event)
        return event

    def add_job(self, **body: object) -> dict[str, Any]:
        number = self.tick()
        job: dict[str, Any] = {
            "id": f"ftjob-{number}",
            "object": "fine_tuning.job",
            "created_at": number,
            "error": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "hyperparameters": {"n_epochs": "auto"},
            "model": "gpt-4.1-mini-2025-04-14",
            "organization_id": "org-1",
            "result_files": [],
            "status": self.course[0],
            "trained_tokens": None,
            "training_file": "file-1",
            "validation_file": None,
            "seed": 1,
            **{key: value for key, value in body.items() if key != "suffix"},
        }
        self.jobs[job["id"]] = job
        self.events[job["id"]] = []
        self.add_event(job["id"], "created")
        return job

    def listing(self, items: list[dict[str, Any]], query: dict[str, str]) -> Answer:
        newest_first = items[::-1]
        if "after" in query:
            ids = [item["id"] for item in newest_first]
            newest_first = newest_first[ids.index(query["after"]) + 1 :]
        size = min(int(query.get("limit", 20)), self.page)
        data = newest_first[:size]
        ends = {
            "first_id": data[0]["id"] if data else "",
            "last_id": data[-1]["id"] if data else "",
        }
        more = len(newest_first) > size
        return 200, {"object": "list", "data": data, "has_more": more, **ends}

    def act(
        self, method: str, path: str, query: dict[str, str], body: dict[str, Any]
    ) -> Answer:
        with self._lock:
            routes: dict[str, Callable[..., Answer]] = {
                "GET /models/(.+)": self._model,
                "GET /models": lambda: self.listing([*self.models.values()], query),
                "GET /files": lambda: self.listing([*self.files.values()], query),
                "GET /files/([^/]+)": self._file,
                "DELETE /files/([^/]+)": self._delete,
                "POST /files": lambda: (
                    200,
                    self.add_file(body["file_name"], body["file_bytes"], body["hash"]),
                ),
                "POST /uploads": lambda: self._upload(body),
                "POST /uploads/([^/]+)/parts": lambda u: self._part(u, body),
                "POST /uploads/([^/]+)/complete": lambda u: self._complete(u, body),
                "POST /uploads/([^/]+)/cancel": self._cancel,
                "GET /fine_tuning/jobs": lambda: self.listing(
                    [*self.jobs.values()], query
                ),
                "POST /fine_tuning/jobs": lambda: (200, self.add_job(**body)),
                "GET /fine_tuning/jobs/([^/]+)": self._job,
                "GET /fine_tuning/jobs/([^/]+)/events": lambda j: self.listing(
                    self.events[j], query
                ),
            }
            for pattern, answer in routes.items():
                if match := re.fullmatch(pattern, f"{method} {path}"):
                    return answer(*match.groups())
        return error(404, "Invalid URL")

    def _model(self, name: str) -> Answer:
        if name in self.models:
            return 200, self.models[name]
        return error(404, f"The model {name} does not exist")

    def _file(self, file_id: str) -> Answer:
        if file_id not in self.files:
            return error(404, "No such File object")
        file = self.files[file_id]
        if len(self.statuses) > 1:
            self.statuses.pop(0)
        file["status"] = self.statuses[0]
        return 200, dict(file)

    def _delete(self, file_id: str) -> Answer:
        if self.files.pop(file_id, None) is None:
            return error(404, "No such File object")
        return 200, {"id": file_id, "object": "file", "deleted": True}

    def _upload(self, body: dict[str, Any]) -> Answer:
        number = self.tick()
        upload = {
            "id": f"upload_{number}",
            "object": "upload",
            "created_at": number,
            "expires_at": number + 3600,
            "bytes": body["bytes"],
            "filename": body["filename"],
            "purpose": body["purpose"],
            "status": "pending",
        }
        self.uploads[f"upload_{number}"] = upload
        return 200, dict(upload)

    def _part(self, upload: str, body: dict[str, Any]) -> Answer:
        if self.uploads[upload]["status"] != "pending":
            return error(400, "The Upload is not pending")
        number = self.tick()
        part = f"part_{number}"
        self._parts[part] = (upload, body["data"], body["data_bytes"])
        return 200, {
            "id": part,
            "object": "upload.part",
            "created_at": number,
            "upload_id": upload,
        }

    def _complete(self, name: str, body: dict[str, Any]) -> Answer:
        upload = self.uploads[name]
        parts = [self._parts[part] for part in body["part_ids"]]
        size = sum(size for _, _, size in parts)
        if upload["status"] != "pending":
            return error(400, f"The Upload is {upload['status']}")
        if size != upload["bytes"] or any(owner != name for owner, _, _ in parts):
            return error(400, f"{size} bytes, but {upload['bytes']} were announced")
        sha256 = hashlib.sha256(b"".join(data for _, data, _ in parts)).hexdigest()
        upload["status"] = "completed"
        upload["file"] = self.add_file(upload["filename"], size, sha256)
        return 200, dict(upload)

    def _cancel(self, name: str) -> Answer:
        upload = self.uploads[name]
        if upload["status"] != "pending":
            return error(400, f"The Upload is {upload['status']}")
        upload["status"] = "cancelled"
        return 200, dict(upload)

    def _job(self, name: str) -> Answer:
        if name not in self.jobs:
            return error(404, "No such job")
        job = self.jobs[name]
        answer = dict(job)
        if job["status"] in self.course[:-1]:
            job["status"] = self.course[self.course.index(job["status"]) + 1]
            self.add_event(name, f"now {job['status']}")
            if job["status"] == "succeeded":
                job["fine_tuned_model"] = f"ft:{job['model']}:org::1"
                job["trained_tokens"] = 12345
                job["finished_at"] = self.tick()
            if job["status"] == "failed":
                job["error"] = {"code": "x", "message": "bad data", "param": None}
        return 200, answer
