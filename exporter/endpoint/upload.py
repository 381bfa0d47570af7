"""Files to an endpoint: found by name and size, else sent, never twice."""

import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from exporter.endpoint.client import Endpoint, number
from exporter.endpoint.parts import send_parts
from exporter.endpoint.source import (
    PURPOSE,
    ChangedError,
    Sending,
    Slice,
    Source,
    Stretch,
    refuse_other_size,
)
from exporter.errors import FinetuneError
from exporter.progress import say

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
        for file in named(endpoint, source)
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


def named(endpoint: Endpoint, source: Source) -> "Iterator[FileObject]":
    """Yield the files at the endpoint that have the name of this one."""
    for file in endpoint.listed(
        "listing the files",
        lambda: endpoint.patient.files.list(purpose=PURPOSE, limit=1000),
    ):
        if file.filename == source.name:
            yield file


def send(endpoint: Endpoint, source: Source, sending: Sending) -> "FileObject":
    """Send a file in one piece or in parts, and return the endpoint's file.

    After a lost answer the file is first looked for among those that are new there.
    The bytes are hashed as they go: if they are not those that the manifest names,
    the file is deleted at the endpoint.

    Raises:
        FinetuneError: The endpoint or the file system refuses, or the file changed.
    """
    before = frozenset(file.id for file in named(endpoint, source))
    arrived = partial(find, endpoint, source, besides=before)
    try:
        with source.path.open("rb", buffering=0) as file:
            if source.facts.bytes > sending.parts_above:
                return send_parts(endpoint, source, file.fileno(), sending, arrived)
            return _send_whole(endpoint, source, file.fileno(), sending, arrived)
    except OSError as error:
        raise FinetuneError(f"{source.path}: {error.strerror}") from error
    except ChangedError as error:
        left = _remove_others(endpoint, source, before)
        raise FinetuneError(
            f"{source.path}: {error}; {left}; run finetune export and upload again"
        ) from error


def _remove_others(endpoint: Endpoint, source: Source, before: Collection[str]) -> str:
    """Delete the new files of this name; return what is left of them."""
    time.sleep(1)  # It may still be reading what was on its way.
    try:
        for file in [*named(endpoint, source)]:
            if file.id not in before:
                endpoint.ask(
                    f"deleting {file.id}",
                    partial(endpoint.patient.files.delete, file.id),
                )
    except FinetuneError as refusal:
        return f"a part of it may be left there: {refusal}"
    return f"nothing of it is left at {endpoint.name}"


def _send_whole(
    endpoint: Endpoint,
    source: Source,
    descriptor: int,
    sending: Sending,
    arrived: "Callable[[], FileObject | None]",
) -> "FileObject":
    whole = Stretch(0, source.facts.bytes, source.facts.sha256)
    body = Slice(descriptor, whole, sending.advanced)

    def create() -> "FileObject":
        file = endpoint.once.files.create(
            file=(source.name, body.rewound(), "application/jsonl"),
            purpose=PURPOSE,
        )
        refuse_other_size(file, source)
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
    pause, told = 0.2, False
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
        if not told:
            say(f"{file.id} is {status}; waiting until it is processed")
            told = True
        time.sleep(min(pause, left))
        pause = min(2 * pause, 10)
        file = endpoint.ask(
            f"looking at {file.id}", partial(endpoint.patient.files.retrieve, file.id)
        )
