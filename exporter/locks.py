"""Locks that keep other commands from a folder, and end with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.errors import FinetuneError


def open_lock(folder: Path, name: str) -> int:
    """Return the descriptor of a lock file in the folder, made if missing.

    Only its owner may open it, because whoever opens it can hold it.

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
    """Keep other commands from the folder, by its lock file `name` if given.

    Waits at most `seconds`. Whoever may read the folder can hold it without a lock
    file; which process does is said.

    Raises:
        FinetuneError: Another command is writing there, or it cannot be opened.
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
                # Some network file systems know no locks.
                raise FinetuneError(
                    f"{folder}: cannot be locked: {error.strerror}; work in a folder "
                    "of this machine"
                ) from error
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Return which process holds the lock of an open file, where Linux says it."""
    inode = os.fstat(descriptor).st_ino
    with suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            _, kind, *_, pid, place, _, _ = line.split()
            if kind == "FLOCK" and place.rpartition(":")[2] == str(inode):
                return f" (process {pid})"
    return ""
