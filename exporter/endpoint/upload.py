"""Files to an endpoint: found by name and size, else sent, never twice."""

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from exporter.endpoint.client import Endpoint, number
from exporter.endpoint.parts import send_parts
from exporter.endpoint.source import (
    MEGABYTE,
    PURPOSE,
    ChangedError,
    Slice,
    Source,
    slices,
)
from exporter.errors import FinetuneError
from exporter.progress import Step, say, step

if TYPE_CHECKING:
    from openai.types import FileObject

# Statuses of Azure's files that are on their way out.
_GONE = {"deleting", "deleted"}


def find(
    endpoint: Endpoint, source: Source, *, besides: Collection[str] = ()
) -> "FileObject | None":
    """Return the file of the same name and size at the endpoint, if any."""
    same = [
        file
        for file in _named(endpoint, source)
        if file.id not in besides
        and file.bytes in (source.facts.bytes, None)
        and str(file.status) not in _GONE
    ]
    # The newest that was not found faulty.
    return max(
        same,
        key=lambda file: (file.status != "error", number(file.created_at)),
        default=None,
    )


def _named(endpoint: Endpoint, source: Source) -> "Iterator[FileObject]":
    """Yield the files at the endpoint that have the name of this one."""
    files = endpoint.patient.files.list
    for file in endpoint.listed(
        "listing the files", files, purpose=PURPOSE, limit=1000
    ):
        if file.filename == source.name:
            yield file


class Sending:
    """A file that is sent, in one piece or in parts, and how far it is."""

    def __init__(self, endpoint: Endpoint, source: Source) -> None:
        self._endpoint, self._source = endpoint, source
        self._bodies: list[Slice] = []

    def sent(self) -> int:
        """Return how many bytes have been sent."""
        return sum(body.sent for body in self._bodies)

    def run(self, *, parts_above: int | None, part_bytes: int) -> "FileObject":
        """Send it and return the endpoint's file; say what is sent, at what rate.

        Larger files than `parts_above`, by default the endpoint's limit, go in
        parts. After a lost answer the file is first looked for among those that are
        new there. The bytes are hashed as they go: if they are not those that the
        manifest names, the file is deleted at the endpoint.

        Raises:
            FinetuneError: The endpoint or the file system refuses, or the file
                changed.
        """
        endpoint, source = self._endpoint, self._source
        size, limits = source.facts.bytes, endpoint.provider.limits
        if parts_above is None:
            parts_above = limits.get("request_bytes", limits.get("bytes", size))
        say(f"sending {source.path} ({size:,} bytes) to {endpoint.name}")
        start = time.monotonic()
        before = frozenset(file.id for file in _named(endpoint, source))
        work = Step(f"sending {source.path.name}", size, "bytes", self.sent)
        try:
            with step(work), source.path.open("rb", buffering=0) as file:
                arrived = partial(find, endpoint, source, besides=before)
                if size > parts_above:
                    self._bodies = slices(file, source, part_bytes)
                    sent = send_parts(endpoint, source, self._bodies, arrived)
                else:
                    body = Slice(file, 0, size, source.facts.sha256)
                    self._bodies = [body]
                    sent = _send_whole(endpoint, source, body, arrived)
        except OSError as error:
            raise FinetuneError(f"{source.path}: {error.strerror}") from error
        except ChangedError as error:
            left = _remove_others(endpoint, source, before)
            raise FinetuneError(
                f"{source.path}: {error}; {left}; run finetune export and upload again"
            ) from error
        rate = self.sent() / MEGABYTE / max(time.monotonic() - start, 1e-3)
        say(f"sent at {rate:,.1f} MB/s")
        return sent


def _remove_others(endpoint: Endpoint, source: Source, before: Collection[str]) -> str:
    """Delete the new files of this name; return what is left of them."""
    time.sleep(1)  # It may still be reading what was on its way.
    try:
        for file in [*_named(endpoint, source)]:
            if file.id not in before:
                delete = endpoint.patient.files.delete
                endpoint.ask(f"deleting {file.id}", delete, file.id)
    except FinetuneError as refusal:
        return f"a part of it may be left there: {refusal}"
    return f"nothing of it is left at {endpoint.name}"


def _send_whole(
    endpoint: Endpoint,
    source: Source,
    body: Slice,
    arrived: "Callable[[], FileObject | None]",
) -> "FileObject":
    def create() -> "FileObject":
        file = endpoint.once.files.create(
            file=(source.name, body.rewound(), "application/jsonl"),
            purpose=PURPOSE,
        )
        source.refuse_other_size(file)
        return file

    return endpoint.deliver(
        f"sending {source.path.name}",
        create,
        arrived=arrived,
        # A body that was not sent to its end can be no file there.
        repeat=lambda lost: lost.not_done or not body.at_end(),
    )


def await_processed(endpoint: Endpoint, file: "FileObject", *, wait: float) -> None:
    """Wait up to `wait` seconds until the endpoint has looked at the file.

    Zero is not to look at all.

    Raises:
        FinetuneError: It found fault with it, or did not come to an end.
    """
    deadline = time.monotonic() + wait
    pause = 0.2
    # Endpoints that know no status are not waited for.
    while wait and file.status not in ("processed", None):
        status = endpoint.clean(file.status)
        if file.status == "error":
            why = endpoint.clean(file.status_details) or "no reason given"
            raise FinetuneError(
                f"{endpoint.name}: {file.id} cannot be used: {why}; fix the data, or "
                "send it again with --force"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise FinetuneError(
                f"{endpoint.name}: {file.id} is still {status!r} after "
                f"{wait:g} s; run it again to go on waiting"
            )
        if pause == 0.2:
            say(f"{file.id} is {status}; waiting until it is processed")
        time.sleep(min(pause, left))
        pause = min(2 * pause, 10)
        look = endpoint.patient.files.retrieve
        file = endpoint.ask(f"looking at {file.id}", look, file.id)
