"""A large file to an endpoint, in parts of one Upload that is never left open."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import orjson

from exporter.endpoint.client import Endpoint, NoAnswerError
from exporter.endpoint.source import (
    PURPOSE,
    ChangedError,
    Sending,
    Slice,
    Source,
    Stretch,
    refuse_other_size,
    stretches,
)
from exporter.errors import FinetuneError
from exporter.files import append
from exporter.progress import say

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject, Upload

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
    descriptor: int,
    sending: Sending,
    arrived: "Callable[[], FileObject | None]",
) -> "FileObject":
    """Send an open file through an Upload and return the endpoint's file.

    `arrived` looks for the file at the endpoint.

    Raises:
        FinetuneError: The endpoint or the file system refuses.
    """
    todo = stretches(descriptor, source, sending.part_bytes)
    with _open_upload(endpoint, source) as upload:
        parts = _parts(endpoint, upload.id, descriptor, todo, sending)

        def complete() -> "FileObject":
            answer = endpoint.once.uploads.complete(upload.id, part_ids=parts)
            file = getattr(answer, "file", None)
            refuse_other_size(file, source)
            return cast("FileObject", file)

        try:
            return endpoint.deliver(
                f"completing {upload.id}",
                complete,
                arrived=arrived,
                # Once complete it cannot be completed again.
                repeat=lambda _: True,
            )
        except (NoAnswerError, ChangedError):
            raise
        except FinetuneError:
            # It may be refused because an earlier request was carried out.
            file = arrived()
            if file is None:
                raise
            return file


@contextmanager
def _open_upload(endpoint: Endpoint, source: Source) -> "Iterator[Upload]":
    """Create an Upload; cancel it unless the block comes to its end."""
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
        yield upload
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
        endpoint.ask(
            f"cancelling {upload_id}",
            lambda: client.uploads.cancel(upload_id),
        )
    except NoAnswerError:
        raise
    except FinetuneError:
        pass  # It is complete, cancelled or expired.


def _parts(
    endpoint: Endpoint,
    upload_id: str,
    descriptor: int,
    stretches: list[Stretch],
    sending: Sending,
) -> list[str]:
    """Send the parts in parallel, each repeated by itself; return their ids."""
    todo = iter(enumerate(stretches))
    done: queue.Queue[tuple[int, str] | BaseException] = queue.Queue()
    lock = threading.Lock()
    stop = threading.Event()

    def advanced(count: int) -> None:
        if stop.is_set():
            raise FinetuneError("stopped")
        with lock:
            sending.advanced(count)

    def work() -> None:
        while True:
            with lock:
                number, stretch = next(todo, (None, None))
            if number is None or stretch is None:
                return
            body = Slice(descriptor, stretch, advanced)
            try:
                part = endpoint.ask(
                    f"sending part {number + 1} of {len(stretches)}",
                    partial(
                        endpoint.patient.uploads.parts.create,
                        upload_id,
                        data=("part", body.rewound(), "application/octet-stream"),
                    ),
                )
                done.put((number, part.id))
            except BaseException as error:
                done.put(error)
                return

    # Daemons, because a part that waits for an answer must not keep a stopped
    # command alive.
    for _ in range(min(_PARALLEL_PARTS, len(stretches))):
        threading.Thread(target=work, daemon=True).start()
    ids: dict[int, str] = {}
    try:
        while len(ids) < len(stretches):
            result = done.get()
            if isinstance(result, BaseException):
                raise result
            number, part_id = result
            ids[number] = part_id
    finally:
        stop.set()
    return [ids[number] for number in sorted(ids)]
