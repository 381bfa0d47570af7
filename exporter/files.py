"""Files that are complete or absent, and know the hash of their bytes."""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from exporter.errors import FinetuneError

_CHUNK_BYTES = 1 << 18


class FileFacts(NamedTuple):
    """What a finished file holds."""

    sha256: str
    bytes: int
    lines: int


class Draft:
    """A file under a dot name beside its final one, until it is published.

    The dot keeps readers of the whole folder (Hugging Face's
    `load_dataset(FOLDER)`) from taking an unfinished file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._file = self._part.open("wb", buffering=0)
        self._sha256 = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._bytes = 0
        self._lines = 0

    def write_line(self, line: bytes) -> None:
        """Add a line that ends with LF."""
        self._pending.append(line)
        self._pending_bytes += len(line)
        if self._pending_bytes >= _CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        chunk = b"".join(self._pending)
        self._lines += len(self._pending)
        self._bytes += len(chunk)
        self._pending.clear()
        self._pending_bytes = 0
        # The hash is that of the bytes handed to the file, not of a later look.
        self._sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]

    def finish(self) -> FileFacts:
        """Bring every byte to the disk and return what was written."""
        self._flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileFacts(self._sha256.hexdigest(), self._bytes, self._lines)

    def publish(self) -> None:
        """Give the finished file its name, in place of an older one."""
        self._part.replace(self.path)

    def discard(self) -> None:
        """Remove what was written, unless it is published."""
        self._file.close()
        self._part.unlink(missing_ok=True)


@contextmanager
def drafts(folder: Path, *names: str) -> Iterator[list[Draft]]:
    """Make the folder and open a draft in it for each name.

    Only one process writes to a folder at a time. Whatever is not published
    when the block ends is removed.

    Raises:
        FinetuneError: The folder or a file in it cannot be written.
    """
    opened: list[Draft] = []
    descriptor = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in names:
            opened.append(Draft(folder / name))
        yield opened
        os.fsync(descriptor)
    except BlockingIOError as error:
        raise FinetuneError(
            f"{folder}: another command is writing there; wait until it ends"
        ) from error
    except OSError as error:
        raise FinetuneError(
            f"{folder}: cannot write: {error.strerror}; make room or choose "
            "another folder"
        ) from error
    finally:
        for draft in opened:
            draft.discard()
        if descriptor is not None:
            os.close(descriptor)
