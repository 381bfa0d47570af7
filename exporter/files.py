"""Files that are complete or absent, and know the hash of their bytes."""

import hashlib
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from exporter.errors import FinetuneError
from exporter.locks import locked
from exporter.signals import stops_wait

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 18


class FileFacts(NamedTuple):
    """What a finished file holds."""

    sha256: str
    bytes: int
    lines: int


class _HashedFile(io.FileIO):
    """A new file that hashes the bytes that it took."""

    def __init__(self, path: Path) -> None:
        # A link or a file of somebody else under this name is never opened.
        super().__init__(path, "xb", opener=_open_new)
        self._folder = path.parent
        self.sha256 = hashlib.sha256()

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            count = super().write(data)
        except OSError as error:
            # Raised here, so that it is not taken for an error of reading.
            raise _cannot_write(self._folder, error) from error
        self.sha256.update(memoryview(data)[:count])
        return count


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666)


class Draft:
    """A file under a dot name beside its final one, until it is published.

    The dot keeps readers of the whole folder (Hugging Face's
    `load_dataset(FOLDER)`) from taking an unfinished file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        # Left by a killed command, as the folder is ours alone now.
        self._part.unlink(missing_ok=True)
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
        with suppress(OSError, FinetuneError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to, before any work.

    Raises:
        FinetuneError: It is no folder, or may not be written to.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    reason = "Permission denied" if there.is_dir() else "Not a directory"
    raise FinetuneError(
        f"{folder}: cannot write: {reason}; choose another folder with -o"
    )


@contextmanager
def drafts(
    folder: Path, *names: str, inputs: Sequence[Path] = ()
) -> Iterator[list[Draft]]:
    """Make the folder and open a draft in it for each name.

    Only one process writes to a folder at a time. Whatever is not published
    when the block ends is removed.

    Raises:
        FinetuneError: The folder or a file in it cannot be written, or one of
            the names is an input's or no plain file's.
    """
    opened: list[Draft] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _refuse_target(folder / name, inputs)
        with ExitStack() as stack:
            stack.enter_context(locked(folder))
            for name in names:
                # A signal between the two would leave an unfinished file behind.
                with stops_wait():
                    opened.append(Draft(folder / name))
                    stack.callback(opened[-1].discard)
            yield opened
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> FinetuneError:
    return FinetuneError(
        f"{folder}: cannot write: {error.strerror}; make room or choose another folder"
    )


def publish(*finished: Draft, absent: Sequence[Draft] = ()) -> None:
    """Give finished files of a folder their names; remove those of `absent` ones.

    Signals wait meanwhile: all names change, or none.
    """
    with stops_wait():
        for draft in absent:
            draft.path.unlink(missing_ok=True)
        for draft in finished:
            draft.publish()
        folder = os.open(finished[0].path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _refuse_target(path: Path, inputs: Sequence[Path]) -> None:
    """Refuse a name whose replacement would destroy what is no old output."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(there.st_mode):
        raise FinetuneError(
            f"{path}: exists and is not a plain file; choose another name"
        )
    for given in inputs:
        if given.exists() and given.samefile(path):
            raise FinetuneError(
                f"{path}: would overwrite its own input; choose another name"
            )


def append(path: Path, line: bytes) -> None:
    """Add a line to a file, made if missing; a torn last line is closed first.

    Raises:
        OSError: It cannot be written, or is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
