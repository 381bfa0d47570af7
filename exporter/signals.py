"""The signals that stop a command: Ctrl-C, SIGTERM and SIGHUP."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handle_stops(handler: "signal._HANDLER") -> None:
    """Set the handler of each signal that is not ignored; nohup ignores SIGHUP."""
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


@contextmanager
def defer_stops() -> Iterator[None]:
    """Delay the signals until the block has ended.

    With handlers, because a signal mask applies only to the main thread.
    """
    received: list[int] = []
    handlers = [signal.signal(n, lambda n, _: received.append(n)) for n in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(STOP_SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])
