"""Run the command line, as `finetune` or as `python -m exporter`."""

import atexit
import os
import signal
import sys
from types import FrameType

from exporter.signals import handle_stops


def _stop_before(number: int, _: FrameType | None) -> None:
    """Stop before the command begins, while its modules are imported."""
    os.write(2, b"finetune: stopped; nothing was changed\n")
    os._exit(128 + number)


def _stop_after(number: int, _: FrameType | None) -> None:
    os.write(2, b"finetune: stopped; the command was at its end\n")
    os._exit(128 + number)


def main() -> None:
    """Run the command line, with handlers of signals before and after the command."""
    from exporter import cli  # noqa: PLC0415 (a signal may come during the import)

    try:
        cli.main()
    finally:
        handle_stops(_stop_after)


def _open_closed_streams() -> None:
    """Open the standard streams that are closed, as /dev/null.

    Else the next file that is opened gets the number of such a stream, and a message
    is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            if number:
                setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115


_open_closed_streams()
handle_stops(_stop_before)
# Registered first, so run last: while Python ends, it restores the default handlers,
# and a signal would then change the exit code of a finished command.
atexit.register(handle_stops, signal.SIG_IGN)

if __name__ == "__main__":
    main()
