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

from exporter.errors import FinetuneError

# Looked up here, as little may be done between fork and exec; prctl(2) of Linux.
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def run_program(
    command: Sequence[str],
    environment: Mapping[str, str],
    stdout: IO[str] | None = None,
) -> int:
    """Run a program to its end and return its exit code.

    SIGTERM, SIGHUP and our death end it, too; the terminal's Ctrl-C is its own.

    Raises:
        FinetuneError: It cannot be run.
    """
    try:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=stdout,
            preexec_fn=end_with_parent,  # noqa: PLW1509 (one system call)
        )
    except OSError as error:
        raise FinetuneError(f"{command[0]}: {error.strerror}") from error
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # The terminal has sent it to the command too.
        except SystemExit:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


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
