"""Run the command line, as `finetune` or as `python -m exporter`."""

import atexit
import os
import signal
from types import FrameType


def _leave(number: int, _: FrameType | None) -> None:
    """Stop where nothing is under way: before a command, while it is imported."""
    os.write(2, b"finetune: stopped; nothing was changed\n")
    os._exit(128 + number)


def _leave_after(number: int, _: FrameType | None) -> None:
    os.write(2, b"finetune: stopped; the command was at its end\n")
    os._exit(128 + number)


def _handle(handler: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def main() -> None:
    """Run the command line; its handlers of signals are put back after it."""
    from exporter import cli  # noqa: PLC0415 (its imports can be stopped, too)

    try:
        cli.main()
    finally:
        _handle(_leave_after)


_handle(_leave)
# Registered first, so run last. Python puts the system's handlers back while it ends,
# and a signal would then change the exit code of a command that is done.
atexit.register(_handle, signal.SIG_IGN)

if __name__ == "__main__":
    main()
