"""Files at an endpoint: found by name and size, else uploaded, never twice."""

import time
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from exporter.endpoint.client import Endpoint
from exporter.endpoint.errors import number, status_of
from exporter.endpoint.parts import send_parts
from exporter.endpoint.upload_file import (
    MEGABYTE,
    PURPOSE,
    FileChangedError,
    FilePart,
    UploadFile,
    split,
)
from exporter.errors import FinetuneError
from exporter.progress import Step, say, step

if TYPE_CHECKING:
    from openai.types import FileObject

# Statuses of a file that Azure is deleting.
_DELETED = {"deleting", "deleted"}


def find_file(
    endpoint: Endpoint, upload: UploadFile, *, exclude: Collection[str] = ()
) -> "FileObject | None":
    """Return the file at the endpoint with the same name and size, if any."""
    found = [
        file
        for file in _same_name(endpoint, upload)
        if file.id not in exclude
        and (file.bytes == upload.facts.bytes or not _is_size(file.bytes))
        and status_of(file) not in _DELETED
    ]
    # The newest, if possible without an error.
    return max(
        found,
        key=lambda file: (status_of(file) != "error", number(file.created_at)),
        default=None,
    )


def _is_size(value: object) -> bool:
    """Return whether a value of an answer is a size; some endpoints have none."""
    return isinstance(value, int) and value >= 0


def _same_name(endpoint: Endpoint, upload: UploadFile) -> "list[FileObject]":
    """Return the files at the endpoint with the name of this one."""
    files = endpoint.retrying.files
    found = endpoint.paginate(
        "listing the files", lambda: files.list(purpose=PURPOSE, limit=1000)
    )
    return [file for file in found if file.filename == upload.remote_name]


class Transfer:
    """A file on its way to an endpoint, whole or in parts."""

    def __init__(self, endpoint: Endpoint, upload: UploadFile) -> None:
        self._endpoint, self._upload = endpoint, upload
        self._parts: list[FilePart] = []
        # The ids of the files of the same name that are not the one sent here.
        self._before: frozenset[str] = frozenset()

    def bytes_sent(self) -> int:
        """Return how many bytes have been sent."""
        return sum(part.sent for part in self._parts)

    def outcome_if_stopped(self) -> str:
        """Return what is at the endpoint if the command is stopped now."""
        name, place = self._upload.remote_name, self._endpoint.name
        if self.bytes_sent() < self._upload.facts.bytes:
            return f"{name} was not uploaded to {place}"
        return f"{name} may be at {place}; finetune upload again finds it, or sends it"

    def send(self, *, parts_above: int | None, part_bytes: int) -> "FileObject":
        """Send the file, report the rate, and return the file at the endpoint.

        A file larger than `parts_above`, by default the endpoint's limit, is sent in
        parts. The bytes are hashed while they are sent: if they are not those of the
        manifest, the file is deleted at the endpoint.

        Raises:
            FinetuneError: The endpoint or the file system refuses, or the file
                changed.
        """
        endpoint, upload = self._endpoint, self._upload
        size, limits = upload.facts.bytes, endpoint.provider.limits
        if parts_above is None:
            parts_above = limits.get("request_bytes", limits.get("bytes", size))
        say(f"sending {upload.path} ({size:,} bytes) to {endpoint.name}")
        start = time.monotonic()
        self._before = frozenset(file.id for file in _same_name(endpoint, upload))
        work = Step(f"sending {upload.path.name}", size, "bytes", self.bytes_sent)
        try:
            with step(work), upload.path.open("rb", buffering=0) as file:
                if size > parts_above:
                    self._parts = split(file, upload, part_bytes)
                    sent = send_parts(endpoint, upload, self._parts, self._find)
                else:
                    self._parts = [FilePart(file, 0, size, upload.facts.sha256)]
                    sent = self._send_whole()
        except OSError as error:
            raise FinetuneError(f"{upload.path}: {error.strerror}") from error
        except FileChangedError as error:
            raise FinetuneError(
                f"{upload.path}: {error}; {self._delete()}; run finetune export and "
                "upload again"
            ) from error
        rate = self.bytes_sent() / MEGABYTE / max(time.monotonic() - start, 1e-3)
        say(f"sent at {rate:,.1f} MB/s")
        return sent

    def _find(self) -> "FileObject | None":
        return find_file(self._endpoint, self._upload, exclude=self._before)

    def _send_whole(self) -> "FileObject":
        [body] = self._parts

        def create() -> "FileObject":
            file = self._endpoint.without_retries.files.create(
                file=(self._upload.remote_name, body.rewind(), "application/jsonl"),
                purpose=PURPOSE,
            )
            self._upload.check_size(file)
            return file

        return self._endpoint.create_once(
            f"sending {self._upload.path.name}",
            create,
            find=self._find,
            # A body that was not sent to its end cannot become a file.
            may_repeat=lambda failure: failure.not_executed or not body.at_end(),
        )

    def _delete(self) -> str:
        """Delete what arrived at the endpoint; return what is left of it."""
        time.sleep(1)  # The endpoint may still be receiving what was sent.
        delete = self._endpoint.retrying.files.delete
        try:
            for file in _same_name(self._endpoint, self._upload):
                if file.id not in self._before:
                    action = f"deleting {file.id}"
                    self._endpoint.call(action, partial(delete, file.id))
        except FinetuneError as refusal:
            return f"a part of it may be left there: {refusal}"
        return f"nothing of it is left at {self._endpoint.name}"


def await_processed(endpoint: Endpoint, file: "FileObject", *, wait: float) -> None:
    """Wait up to `wait` seconds until the endpoint has processed the file.

    With zero, do not even check it.

    Raises:
        FinetuneError: The endpoint cannot use the file, or needs more time.
    """
    deadline = time.monotonic() + wait
    pause = 0.2
    # Some endpoints have no status.
    while wait and status_of(file) not in ("processed", ""):
        status = endpoint.redact(file.status)
        if status_of(file) == "error":
            why = endpoint.redact(file.status_details) or "no reason given"
            raise FinetuneError(
                f"{endpoint.name}: {file.id} cannot be used: {why}; fix the data, or "
                "send it again with --force"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise FinetuneError(
                f"{endpoint.name}: {file.id} is still {status!r} after "
                f"{wait:g} s; run it again to keep waiting"
            )
        if pause == 0.2:
            say(f"{file.id} is {status}; waiting until it is processed")
        time.sleep(min(pause, left))
        pause = min(2 * pause, 10)
        retrieve = partial(endpoint.retrying.files.retrieve, file.id)
        file = endpoint.call(f"retrieving {file.id}", retrieve)
