"""Programs that a command runs: none of them outlives it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from exporter.cli.stops import Stopped
from exporter.errors import FinetuneError
from exporter.signals import stops_wait

# Looked up here, as little may be done between fork and exec; prctl(2) of Linux.
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def run_program(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdout: IO[str] | None = None,
) -> int:
    """Run a program to its end and return its exit code.

    What stops us ends it, too, and so does our death; the terminal's Ctrl-C is its
    own, and stops us if it ended by it.

    Raises:
        FinetuneError: It cannot be run.
    """
    process = heard = None
    while True:
        try:
            if process is None:
                with stops_wait():
                    process = subprocess.Popen(
                        command,
                        env=environment,
                        stdout=stdout,
                        preexec_fn=end_with_parent,  # noqa: PLW1509 (one system call)
                    )
            code = process.wait()
            break
        except OSError as error:
            raise FinetuneError(f"{command[0]}: {error.strerror}") from error
        except Stopped as stop:
            if process is None:
                raise
            if stop.number == signal.SIGINT and _on_terminal():
                heard = stop  # The terminal has sent it to the program, too.
                continue
            _end(process, stop.number)
            raise
    if heard and code in (-heard.number, 128 + heard.number):
        raise heard
    return code


def _on_terminal() -> bool:
    """Return whether Ctrl-C of a terminal goes to our programs, too."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when its parent has died."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_make() -> None:
    """End with a make that was killed, which cannot end its commands itself."""
    parent = Path("/proc", str(os.getppid()), "comm")
    with suppress(OSError):
        if parent.read_text().strip() in {"make", "gmake"}:
            end_with_parent()
