"""Programs that a command runs: they end with it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from exporter.cli.stops import StoppedBySignal
from exporter.errors import FinetuneError
from exporter.signals import defer_stops

# Loaded here, because little may run between fork and exec; prctl(2) of Linux.
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def run_program(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdout: IO[str] | None = None,
) -> int:
    """Run a program to its end and return its exit code.

    A signal that stops this process stops the program, and so does the death of this
    process. The terminal sends Ctrl-C to both: the program handles it, and this
    process stops if the program ended by it.

    Raises:
        FinetuneError: The program cannot be started.
    """
    process = interrupt = None
    while True:
        try:
            if process is None:
                with defer_stops():
                    process = subprocess.Popen(
                        command,
                        env=environment,
                        stdout=stdout,
                        # As a shell: COMMAND may read /dev/fd/63, a file of bash.
                        close_fds=False,
                        preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
                    )
            code = process.wait()
            break
        except OSError as error:
            raise FinetuneError(f"{command[0]}: {error.strerror}") from error
        except StoppedBySignal as stop:
            if process is None:
                raise
            if stop.number == signal.SIGINT and _in_foreground():
                interrupt = stop  # The terminal has sent it to the program, too.
                continue
            _stop(process, stop.number)
            raise
    if interrupt and code in (-interrupt.number, 128 + interrupt.number):
        raise interrupt
    return code


def _in_foreground() -> bool:
    """Return whether a terminal sends Ctrl-C to the programs of this process."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _stop(process: subprocess.Popen[bytes], number: int) -> None:
    process.send_signal(number)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def die_with_parent() -> None:
    """Let Linux send SIGTERM to this process when its parent dies."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def die_with_make() -> None:
    """Die with make, which does not stop its commands when it is killed."""
    parent = Path("/proc", str(os.getppid()), "comm")
    with suppress(OSError):
        if parent.read_text().strip() in {"make", "gmake"}:
            die_with_parent()
