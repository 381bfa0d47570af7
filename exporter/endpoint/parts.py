"""A large file, sent in parts of one Upload that is completed or cancelled."""

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import orjson

from exporter.endpoint.client import Endpoint
from exporter.endpoint.errors import NoAnswerError
from exporter.endpoint.upload_file import (
    PURPOSE,
    FileChangedError,
    FilePart,
    UploadFile,
)
from exporter.errors import FinetuneError
from exporter.files import append
from exporter.progress import say

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject

_THREADS = 3


def cancel_open_uploads(endpoint: Endpoint, folder: Path) -> None:
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
            _cancel(endpoint, endpoint.retrying, upload_id)
            note.unlink()


def send_parts(
    endpoint: Endpoint,
    upload: UploadFile,
    parts: list[FilePart],
    find: "Callable[[], FileObject | None]",
) -> "FileObject":
    """Send the parts of a file through an Upload and return the endpoint's file.

    `find` looks for the file at the endpoint.

    Raises:
        FinetuneError: The endpoint or the file system refuses.
    """
    with _open_upload(endpoint, upload) as upload_id:
        part_ids = _send_concurrently(endpoint, upload_id, parts)

        def complete() -> "FileObject":
            client = endpoint.without_retries
            answer = client.uploads.complete(upload_id, part_ids=part_ids)
            file = getattr(answer, "file", None)
            upload.check_size(file)
            return cast("FileObject", file)

        try:
            return endpoint.create_once(
                f"completing {upload_id}",
                complete,
                find=find,
                # A completed Upload cannot be completed again.
                may_repeat=lambda _: True,
            )
        except (NoAnswerError, FileChangedError):
            raise
        except FinetuneError:
            # Perhaps it is refused because an earlier request has completed it.
            if file := find():
                return file
            raise


@contextmanager
def _open_upload(endpoint: Endpoint, upload: UploadFile) -> Iterator[str]:
    """Create an Upload and yield its id; cancel it if the block raises."""
    created = endpoint.create_once(
        f"starting the upload of {upload.path.name}",
        lambda: endpoint.without_retries.uploads.create(
            filename=upload.remote_name,
            bytes=upload.facts.bytes,
            mime_type="text/jsonl",
            purpose=PURPOSE,
        ),
        # Uploads cannot be listed. One whose id was lost expires after an hour.
        find=lambda: None,
        may_repeat=lambda _: True,
    )
    # If this command is killed, the next one finds the id in this file.
    note = upload.path.with_name(f".upload-{quote(created.id, safe='')}.json")
    try:
        note.unlink(missing_ok=True)
        append(note, orjson.dumps({"endpoint": endpoint.name, "id": created.id}))
        yield created.id
    except BaseException:
        try:
            _cancel(endpoint, endpoint.short_timeout, created.id)
            note.unlink(missing_ok=True)
        except NoAnswerError as error:
            say(f"{error}; the next finetune upload cancels it")
        raise
    note.unlink()


def _cancel(endpoint: Endpoint, client: "OpenAI", upload_id: str) -> None:
    try:
        endpoint.call(
            f"cancelling {upload_id}", lambda: client.uploads.cancel(upload_id)
        )
    except NoAnswerError:
        raise
    except FinetuneError:
        pass  # It is already complete, cancelled or expired.


def _send_concurrently(
    endpoint: Endpoint, upload_id: str, parts: list[FilePart]
) -> list[str]:
    """Send the parts in threads, each with retries of its own; return their ids."""
    part_ids: list[Future[str]] = [Future() for _ in parts]
    create = partial(endpoint.retrying.uploads.parts.create, upload_id)
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(len(parts)):
        todo.put(number)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                number = todo.get_nowait()
                body = parts[number].rewind()
                try:
                    send = partial(
                        create, data=("part", body, "application/octet-stream")
                    )
                    action = f"sending part {number + 1} of {len(parts)}"
                    answer = endpoint.call(action, send)
                    part_ids[number].set_result(answer.id)
                except BaseException as error:
                    part_ids[number].set_exception(error)
                    return

    try:
        # Daemons, because a part that waits for an answer must not keep a stopped
        # command alive.
        for _ in range(_THREADS):
            threading.Thread(target=work, name="parts", daemon=True).start()
        done, _ = wait(part_ids, return_when=FIRST_EXCEPTION)
        # If one of them failed, its result raises the error.
        for part_id in done:
            part_id.result()
        return [part_id.result() for part_id in part_ids]
    finally:
        for part in parts:
            part.close()
