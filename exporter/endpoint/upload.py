"""Files to an endpoint: found by name and size, else sent, never twice."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from exporter.endpoint.client import Endpoint, number
from exporter.endpoint.parts import send_parts
from exporter.endpoint.source import PURPOSE, Sending, Slice, Source
from exporter.errors import FinetuneError

if TYPE_CHECKING:
    from openai.types import FileObject

# Statuses of Azure's files that are on their way out.
_GONE = {"deleting", "deleted"}


def find(endpoint: Endpoint, source: Source) -> "FileObject | None":
    """Return the file of the same name and size at the endpoint, if any.

    Raises:
        FinetuneError: The endpoint cannot be asked.
    """
    same = [
        file
        for file in endpoint.listed(
            "listing the files",
            lambda: endpoint.patient.files.list(purpose=PURPOSE, limit=1000),
        )
        if file.filename == source.name
        and file.bytes in (source.facts.bytes, None)
        and str(file.status) not in _GONE
    ]
    # The newest that was not found faulty.
    return max(
        same,
        key=lambda file: (file.status != "error", number(file.created_at)),
        default=None,
    )


def send(
    endpoint: Endpoint, source: Source, sending: Sending, *, force: bool
) -> "FileObject":
    """Send a file in one piece or in parts, and return the endpoint's file.

    Unless `force` is given, an answer that was lost is first looked for among
    the files there.

    Raises:
        FinetuneError: The endpoint or the file system refuses.
    """
    try:
        arrived = _arrival(endpoint, source, force=force)
        with source.path.open("rb", buffering=0) as file:
            if source.facts.bytes > sending.parts_above:
                return send_parts(endpoint, source, file.fileno(), sending, arrived)
            body = Slice(file.fileno(), 0, source.facts.bytes, sending.advanced)
            return endpoint.deliver(
                f"sending {source.path.name}",
                lambda: endpoint.once.files.create(
                    file=(source.name, body.rewound(), "application/jsonl"),
                    purpose=PURPOSE,
                ),
                arrived=arrived,
                # A body that was not sent to its end can be no file there.
                repeat=lambda lost: lost.not_done or not body.at_end(),
            )
    except OSError as error:
        raise FinetuneError(f"{source.path}: {error.strerror}") from error


def await_processed(
    endpoint: Endpoint, file: "FileObject", *, wait: float, say: Callable[[str], None]
) -> None:
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
                f"{endpoint.name}: {file.id} cannot be used: {why}; mend the data, or "
                "send it again with --force"
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise FinetuneError(
                f"{endpoint.name}: {file.id} is still {status!r} after "
                f"{wait:g} s; run it again to wait on"
            )
        if not told:
            say(f"{file.id} is {status}; waiting until it is processed")
            told = True
        time.sleep(min(pause, left))
        pause = min(2 * pause, 10)
        file = endpoint.ask(
            f"looking at {file.id}", partial(endpoint.patient.files.retrieve, file.id)
        )


def _arrival(
    endpoint: Endpoint, source: Source, *, force: bool
) -> "Callable[[], FileObject | None]":
    """Return a search for the file that leaves out those of before."""
    before = find(endpoint, source) if force else None

    def arrived() -> "FileObject | None":
        file = find(endpoint, source)
        return None if file is None or (before and file.id == before.id) else file

    return arrived
