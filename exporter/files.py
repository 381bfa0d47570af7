"""Files that are complete or absent, and know the hash of their bytes."""

import fcntl
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import FinetuneError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 18


class FileFacts(NamedTuple):
    """What a finished file holds."""

    sha256: str
    bytes: int
    lines: int


class _HashedFile(io.FileIO):
    """A file that hashes the bytes that it took."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self.sha256 = hashlib.sha256()

    def write(self, data: "ReadableBuffer", /) -> int:
        count = super().write(data)
        self.sha256.update(memoryview(data)[:count])
        return count


class Draft:
    """A file under a dot name beside its final one, until it is published.

    The dot keeps readers of the whole folder (Hugging Face's
    `load_dataset(FOLDER)`) from taking an unfinished file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        self._raw = _HashedFile(self._part)
        self._file = io.BufferedWriter(self._raw, _CHUNK_BYTES)
        self._lines = 0

    def write_line(self, line: bytes) -> None:
        """Add a line that ends with LF."""
        self._file.write(line)
        self._lines += 1

    def finish(self) -> FileFacts:
        """Bring every byte to the disk and return what was written."""
        self._file.flush()
        os.fsync(self._raw.fileno())
        size = self._raw.tell()
        self._file.close()
        return FileFacts(self._raw.sha256.hexdigest(), size, self._lines)

    def publish(self) -> None:
        """Give the finished file its name, in place of an older one."""
        self._part.replace(self.path)

    def discard(self) -> None:
        """Remove what was written, unless it is published."""
        with suppress(OSError):
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
