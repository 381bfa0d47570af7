"""Files that are complete or absent, and the hash of their bytes."""

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
from exporter.signals import defer_stops

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_CHUNK_BYTES = 1 << 18


class FileFacts(NamedTuple):
    """The hash, size and lines of a finished file."""

    sha256: str
    bytes: int
    lines: int


class _HashedFile(io.FileIO):
    """A new file that hashes the bytes written to it."""

    def __init__(self, path: Path) -> None:
        # An existing file or link of this name is never opened.
        super().__init__(path, "xb", opener=_open_new)
        self._folder = path.parent
        self.sha256 = hashlib.sha256()

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            count = super().write(data)
        except OSError as error:
            # Raised here, so that a caller cannot mistake it for an error of reading.
            raise _write_error(self._folder, error) from error
        self.sha256.update(memoryview(data)[:count])
        return count


def _open_new(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666)


class Draft:
    """A file whose name begins with a dot until it is published.

    Programs that read a whole folder, such as Hugging Face's `load_dataset(FOLDER)`,
    ignore such names.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(f".{path.name}.part")
        # A killed command left it: this command has the lock of the folder.
        self._part.unlink(missing_ok=True)
        self._raw = _HashedFile(self._part)
        self._file = io.BufferedWriter(self._raw, _CHUNK_BYTES)
        self._lines = 0

    def write_line(self, line: bytes) -> None:
        """Add a line that ends with LF."""
        self._file.write(line)
        self._lines += 1

    def finish(self) -> FileFacts:
        """Flush every byte to the disk and return the facts of the file."""
        self._file.flush()
        os.fsync(self._raw.fileno())
        size = self._raw.tell()
        self._file.close()
        return FileFacts(self._raw.sha256.hexdigest(), size, self._lines)

    def publish(self) -> None:
        """Give the finished file its name; replace an older one."""
        self._part.replace(self.path)

    def discard(self) -> None:
        """Remove the file, unless it is published."""
        with suppress(OSError, FinetuneError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def require_writable(folder: Path, *names: str) -> None:
    """Refuse a folder that cannot be made or written to, before other work begins.

    Raises:
        FinetuneError: It is not a folder, or not writable, or a file of these names in
            it cannot be replaced.
    """
    parents = folder.absolute().parents
    # A link to nothing is there, too.
    found = next(path for path in (folder, *parents) if os.path.lexists(path))
    if found.is_dir() and os.access(found, os.W_OK | os.X_OK):
        with _errors_of(folder):
            for name in names:
                _refuse_target(folder / name)
        return
    reason = "Permission denied" if found.is_dir() else "Not a directory"
    raise FinetuneError(
        f"{folder}: cannot write: {reason}; choose another folder with -o"
    )


@contextmanager
def drafts(
    folder: Path, *names: str, inputs: Sequence[Path] = ()
) -> Iterator[list[Draft]]:
    """Make the folder, lock it and open a draft in it for each name.

    Drafts that are not published are removed at the end of the block.

    Raises:
        FinetuneError: The folder or a file in it cannot be written, or a name is that
            of an input, or of something other than a plain file.
    """
    opened: list[Draft] = []
    with _errors_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            _refuse_target(folder / name, inputs)
        with ExitStack() as stack:
            stack.enter_context(locked(folder))
            for name in names:
                # A signal between these two lines would leave an unfinished file.
                with defer_stops():
                    opened.append(Draft(folder / name))
                    stack.callback(opened[-1].discard)
            yield opened


@contextmanager
def _errors_of(folder: Path) -> Iterator[None]:
    """Raise the error of a user in place of an OSError of a folder."""
    try:
        yield
    except OSError as error:
        raise _write_error(folder, error) from error


def _write_error(folder: Path, error: OSError) -> FinetuneError:
    return FinetuneError(
        f"{folder}: cannot write: {error.strerror}; make room or choose another folder"
    )


def publish(*finished: Draft, absent: Sequence[Draft] = ()) -> None:
    """Give the finished files of a folder their names; remove the old `absent` ones.

    Signals are deferred, so that all names change, or none.
    """
    with defer_stops():
        for draft in absent:
            draft.path.unlink(missing_ok=True)
        for draft in finished:
            draft.publish()
        folder = os.open(finished[0].path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _refuse_target(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Refuse to replace an input, or anything but a plain file."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise FinetuneError(
            f"{path}: exists and is not a plain file; choose another name"
        )
    for source in inputs:
        if source.exists() and source.samefile(path):
            raise FinetuneError(
                f"{path}: would overwrite its own input; choose another name"
            )


def append(path: Path, line: bytes) -> None:
    """Append a line to a file; make it if missing, and end an incomplete last line.

    Raises:
        OSError: It cannot be written, or is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
