"""The signals that stop a command: Ctrl-C, SIGTERM and SIGHUP."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handle_stops(handler: "signal._HANDLER") -> None:
    """Set the handler of each, but of those that are ignored, as under nohup."""
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def stops_wait() -> Iterator[None]:
    """Delay them until the block has ended.

    By handlers, because a mask would hold for the main thread alone.
    """
    came: list[int] = []
    handlers = [signal.signal(n, lambda n, _: came.append(n)) for n in STOPS]
    try:
        yield
    finally:
        for number, handler in zip(STOPS, handlers, strict=True):
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
