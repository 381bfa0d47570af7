"""An endpoint on the loopback, with the faults that a test asks for."""

import hashlib
import http.server
import itertools
import json
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, dict[str, Any]]

# Bodies above this are counted, not kept.
_KEPT_BYTES = 16 << 20
_EDGE = 64 << 10


class Fault(NamedTuple):
    """What goes wrong, how often, on the requests of a route.

    The kinds: a status; "drop" before the body is read, "drop mid body"; "lost"
    (done, but the connection ends), "slow" (done, but never answered); "not json",
    "html", "no id", "wrong type", "done 500" (done, and answered so); "hold
    before", "hold after" (wait for the client to be gone, before or after it is
    done); "none" (all is well this time).
    """

    route: str
    kind: str | int
    times: int = 1000
    message: str = "why"
    headers: tuple[tuple[str, str], ...] = (("retry-after-ms", "1"),)


class Exchange(NamedTuple):
    """A request and its answer."""

    route: str
    query: dict[str, str]
    body: dict[str, Any] | None
    status: int
    answer: dict[str, Any]


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
        # What a job becomes, one step a look.
        self.course = ["queued", "running", "succeeded"]
        self.reached = threading.Event()
        # What is done once, with the first bytes of a large body read.
        self.amid: Callable[[], object] | None = None
        # Some servers make a file of a body that ends too early.
        self.takes_torn = False
        self.wanted_key = "sk-test-1234567890"
        self._parts: dict[str, tuple[str, bytes, int]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        server = self

        class Handler(_Handler):
            endpoint = server

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that are gone are what the tests are about."""

        self._listener = Listener(("127.0.0.1", 0), Handler)
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
            for place, fault in enumerate(self.faults):
                if fault.route == route and fault.times:
                    self.faults[place] = fault._replace(times=fault.times - 1)
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
        return _error(404, "Invalid URL")

    def _model(self, name: str) -> Answer:
        if name in self.models:
            return 200, self.models[name]
        return _error(404, f"The model {name} does not exist")

    def _file(self, file_id: str) -> Answer:
        if file_id not in self.files:
            return _error(404, "No such File object")
        file = self.files[file_id]
        if len(self.statuses) > 1:
            self.statuses.pop(0)
        file["status"] = self.statuses[0]
        return 200, dict(file)

    def _delete(self, file_id: str) -> Answer:
        if self.files.pop(file_id, None) is None:
            return _error(404, "No such File object")
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
            return _error(400, "The Upload is not pending")
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
            return _error(400, f"The Upload is {upload['status']}")
        if size != upload["bytes"] or any(owner != name for owner, _, _ in parts):
            return _error(400, f"{size} bytes, but {upload['bytes']} were announced")
        sha256 = hashlib.sha256(b"".join(data for _, data, _ in parts)).hexdigest()
        upload["status"] = "completed"
        upload["file"] = self.add_file(upload["filename"], size, sha256)
        return 200, dict(upload)

    def _cancel(self, name: str) -> Answer:
        upload = self.uploads[name]
        if upload["status"] != "pending":
            return _error(400, f"The Upload is {upload['status']}")
        upload["status"] = "cancelled"
        return 200, dict(upload)

    def _job(self, name: str) -> Answer:
        if name not in self.jobs:
            return _error(404, "No such job")
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


def _error(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "", "code": None}}


class _Handler(http.server.BaseHTTPRequestHandler):
    endpoint: Server
    protocol_version = "HTTP/1.1"
    # Else each answer waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    timeout = 20

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:  # noqa: PLR0911 (a fault an exit)
        server = self.endpoint
        parts = urlsplit(self.path)
        # The whole URL where the client takes this for a proxy.
        path = parts.path.partition("/v1")[2]
        query = dict(parse_qsl(parts.query))
        route = f"{self.command} {_pattern(path)}"
        fault = server.take_fault(route)
        kind = fault.kind if fault else None
        if kind == "drop":
            return self._drop()
        if kind == "drop mid body":
            self.rfile.read(min(1000, int(self.headers.get("content-length", 0))))
            return self._drop()
        if kind == 413:
            # Such servers do not read what they will not take.
            self.close_connection = True
            return self._answer(*_error(413, "Payload Too Large"), ())
        body = self._body()
        if kind == "hold before":
            return self._hold()
        if self.headers.get("authorization") != f"Bearer {server.wanted_key}":
            key = self.headers.get("authorization", "")[7:]
            return self._answer(*_error(401, f"Incorrect API key: {key}"), ())
        if isinstance(kind, int) and fault:
            return self._answer(*_error(kind, fault.message), fault.headers)
        status, answer = server.act(self.command, path, query, body)
        shown = {k: v for k, v in body.items() if k not in ("file_name", "hash")}
        # A copy, as what it tells of goes on.
        server.exchanges.append(
            Exchange(
                route, query, shown or None, status, json.loads(json.dumps(answer))
            )
        )
        if kind in ("hold after", "slow"):
            return self._hold()
        if kind == "lost":
            return self._drop()
        if kind == "done 500":
            return self._answer(*_error(500, "why"), fault.headers if fault else ())
        if kind in ("no id", "wrong type"):
            answer = {} if kind == "no id" else {"id": 5, "data": "none"}
        raw = {"html": b"<html>Welcome</html>", "not json": b'{"id": '}.get(str(kind))
        return self._answer(
            status, answer, (), raw=raw, html="html" if kind == "html" else ""
        )

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("content-length", 0))
        if not length:
            return {}
        kind = self.headers.get("content-type", "")
        tail = b""
        chunks: list[bytes] = []
        left = length
        while left:
            chunk = self.rfile.read(min(left, 1 << 20))
            if not chunk and self.endpoint.takes_torn:
                return self._torn(b"".join(chunks))
            if not chunk:
                raise ConnectionError
            if amid := self.endpoint.amid:
                self.endpoint.amid = None
                amid()
            left -= len(chunk)
            if length <= _KEPT_BYTES:
                chunks.append(chunk)
            else:
                chunks = chunks or [chunk[:_EDGE]]
                tail = (tail + chunk)[-_EDGE:]
        head = b"".join(chunks)
        if kind.startswith("multipart/form-data"):
            return _form(kind.split("boundary=")[1].encode(), head, tail, length)
        value: dict[str, Any] = json.loads(head)
        return value

    def _torn(self, head: bytes) -> dict[str, Any]:
        [name] = re.findall(rb'filename="([^"]+)"', head[:1000])
        self.endpoint.add_file(name.decode(), len(head))
        raise ConnectionError

    def _hold(self) -> None:
        """Wait until the client is gone, and then do nothing."""
        self.endpoint.reached.set()
        with suppress(OSError):
            self.connection.settimeout(20)
            self.connection.recv(1)
        self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(
        self,
        status: int,
        answer: dict[str, Any],
        headers: tuple[tuple[str, str], ...],
        raw: bytes | None = None,
        html: str = "",
    ) -> None:
        content = json.dumps(answer).encode() if raw is None else raw
        self.send_response(status)
        self.send_header("content-type", "text/html" if html else "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _pattern(path: str) -> str:
    """Return the path as the OpenAPI description has it."""
    for pattern, name in (
        (r"(/files/)[^/]+", "{file_id}"),
        (r"(/uploads/)[^/]+", "{upload_id}"),
        (r"(/jobs/)[^/]+", "{fine_tuning_job_id}"),
        (r"(/models/).+", "{model}"),
    ):
        path = re.sub(pattern, rf"\1{name}", path)
    return path


def _form(boundary: bytes, head: bytes, tail: bytes, length: int) -> dict[str, Any]:
    """Return the fields of a form; of a large one, the size of its file."""
    fields: dict[str, Any] = {}
    if tail:
        cut = tail.rindex(b"\r\n--" + boundary + b"--")
        beyond = len(tail) - cut
        pieces = head.split(b"--" + boundary)
    else:
        beyond = 0
        pieces = head.split(b"--" + boundary)[:-1]
    for piece in pieces[1:]:
        lines, _, content = piece.partition(b"\r\n\r\n")
        text = lines.decode()
        [name] = re.findall(r' name="([^"]+)"', text)
        filename = re.findall(r'filename="([^"]+)"', text)
        if not filename:
            fields[name] = content.removesuffix(b"\r\n").decode()
            continue
        data = content.removesuffix(b"\r\n") if not tail else b""
        size = length - head.index(content) - beyond if tail else len(data)
        fields |= {
            name: data,
            f"{name}_bytes": size,
            f"{name}_name": filename[0],
            "hash": hashlib.sha256(data).hexdigest(),
        }
    return fields
