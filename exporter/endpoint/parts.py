"""A large file to an endpoint, in parts of one Upload that is never left open."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import orjson

from exporter.endpoint.client import Endpoint, NoAnswerError
from exporter.endpoint.source import PURPOSE, ChangedError, Slice, Source
from exporter.errors import FinetuneError
from exporter.files import append
from exporter.progress import say

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject

_PARALLEL_PARTS = 3


def cancel_left_open(endpoint: Endpoint, folder: Path) -> None:
    """Cancel the Uploads that a killed command left open at the endpoint."""
    for note in sorted(folder.glob(".upload-*.json")):
        try:
            upload = orjson.loads(note.read_bytes())
            where, upload_id = upload["endpoint"], upload["id"]
        except (ValueError, KeyError, TypeError):
            note.unlink()  # Torn by a crash; its Upload expires after an hour.
            continue
        if where == endpoint.name and isinstance(upload_id, str) and upload_id:
            say(f"cancelling {upload_id}, which a stopped command left open")
            _cancel(endpoint, endpoint.patient, upload_id)
            note.unlink()


def send_parts(
    endpoint: Endpoint,
    source: Source,
    bodies: list[Slice],
    arrived: "Callable[[], FileObject | None]",
) -> "FileObject":
    """Send the slices of a file through an Upload and return the endpoint's file.

    `arrived` looks for the file at the endpoint.

    Raises:
        FinetuneError: The endpoint or the file system refuses.
    """
    with _open_upload(endpoint, source) as upload_id:
        parts = _send_each(endpoint, upload_id, bodies)

        def complete() -> "FileObject":
            answer = endpoint.once.uploads.complete(upload_id, part_ids=parts)
            file = getattr(answer, "file", None)
            source.refuse_other_size(file)
            return cast("FileObject", file)

        try:
            return endpoint.deliver(
                f"completing {upload_id}",
                complete,
                arrived=arrived,
                # Once complete it cannot be completed again.
                repeat=lambda _: True,
            )
        except (NoAnswerError, ChangedError):
            raise
        except FinetuneError:
            # It may be refused because an earlier request was carried out.
            if file := arrived():
                return file
            raise


@contextmanager
def _open_upload(endpoint: Endpoint, source: Source) -> Iterator[str]:
    """Create an Upload and yield its id; cancel it unless the block ends well."""
    upload = endpoint.deliver(
        f"announcing {source.path.name}",
        lambda: endpoint.once.uploads.create(
            filename=source.name,
            bytes=source.facts.bytes,
            mime_type="text/jsonl",
            purpose=PURPOSE,
        ),
        # Uploads cannot be listed. One whose id was lost expires after an hour.
        arrived=lambda: None,
        repeat=lambda _: True,
    )
    # A killed command leaves this note to the next one.
    note = source.path.with_name(f".upload-{quote(upload.id, safe='')}.json")
    try:
        note.unlink(missing_ok=True)
        append(note, orjson.dumps({"endpoint": endpoint.name, "id": upload.id}))
        yield upload.id
    except BaseException:
        try:
            _cancel(endpoint, endpoint.hasty, upload.id)
            note.unlink(missing_ok=True)
        except NoAnswerError as error:
            say(f"{error}; the next finetune upload cancels it")
        raise
    note.unlink()


def _cancel(endpoint: Endpoint, client: "OpenAI", upload_id: str) -> None:
    try:
        endpoint.ask(f"cancelling {upload_id}", client.uploads.cancel, upload_id)
    except NoAnswerError:
        raise
    except FinetuneError:
        pass  # It is complete, cancelled or expired.


def _send_each(endpoint: Endpoint, upload_id: str, bodies: list[Slice]) -> list[str]:
    """Send the parts in parallel, each repeated by itself; return their ids."""
    parts: list[Future[str]] = [Future() for _ in bodies]
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(bodies)):
        todo.put(number)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                number = todo.get_nowait()
                body = bodies[number].rewound()
                try:
                    part = endpoint.ask(
                        f"sending part {number + 1} of {len(bodies)}",
                        endpoint.patient.uploads.parts.create,
                        upload_id,
                        data=("part", body, "application/octet-stream"),
                    )
                    parts[number].set_result(part.id)
                except BaseException as error:
                    parts[number].set_exception(error)
                    return

    try:
        # Daemons, because a part that waits for an answer must not keep a stopped
        # command alive.
        for _ in range(_PARALLEL_PARTS):
            threading.Thread(target=work, name="parts", daemon=True).start()
        done, _ = wait(parts, return_when=FIRST_EXCEPTION)
        # All are done, or one of these raises what went wrong.
        for part in done:
            part.result()
        return [part.result() for part in parts]
    finally:
        for body in bodies:
            body.close()
