"""Run the command line, as `finetune` or as `python -m exporter`."""

import atexit
import os
import signal
from types import FrameType

from exporter.signals import handle_stops


def _leave(number: int, _: FrameType | None) -> None:
    """Stop where nothing is under way: before a command, while it is imported."""
    os.write(2, b"finetune: stopped; nothing was changed\n")
    os._exit(128 + number)


def _leave_after(number: int, _: FrameType | None) -> None:
    os.write(2, b"finetune: stopped; the command was at its end\n")
    os._exit(128 + number)


def main() -> None:
    """Run the command line; its handlers of signals are put back after it."""
    from exporter import cli  # noqa: PLC0415 (its imports can be stopped, too)

    try:
        cli.main()
    finally:
        handle_stops(_leave_after)


handle_stops(_leave)
# Registered first, so run last. Python puts the system's handlers back while it ends,
# and a signal would then change the exit code of a command that is done.
atexit.register(handle_stops, signal.SIG_IGN)

if __name__ == "__main__":
    main()
