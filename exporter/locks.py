"""Locks on a folder between commands; the system releases them with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.errors import FinetuneError


def open_lock(folder: Path, name: str) -> int:
    """Return the descriptor of a lock file in the folder; make it if missing.

    Only its owner can open it, because any process that opens it can hold the lock.

    Raises:
        FinetuneError: It cannot be opened.
    """
    path = folder / name
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise FinetuneError(f"{path}: cannot be opened: {error.strerror}") from error


@contextmanager
def locked(
    folder: Path, name: str | None = None, *, seconds: float = 0
) -> Iterator[None]:
    """Lock the folder, or its lock file `name`; wait at most `seconds`.

    Without a lock file, any process that can read the folder can hold the lock; the
    error names the process.

    Raises:
        FinetuneError: Another process has the lock, or the folder cannot be opened.
    """
    deadline = time.monotonic() + seconds
    try:
        descriptor = open_lock(folder, name) if name else os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise FinetuneError(
            f"{folder}: {error.strerror}; run finetune export"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise FinetuneError(
                        f"{folder}: another command is writing there"
                        f"{_holder(descriptor)}; wait until it ends"
                    ) from error
            except OSError as error:
                # Some network file systems have no locks.
                raise FinetuneError(
                    f"{folder}: cannot be locked: {error.strerror}; work in a folder "
                    "of this machine"
                ) from error
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Return the process that holds the lock of an open file, or "" if unknown."""
    inode = os.fstat(descriptor).st_ino
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, *_, pid, file, _, _ = line.split()
            if kind == "FLOCK" and file.rpartition(":")[2] == str(inode):
                return f" (process {pid})"
    return ""
