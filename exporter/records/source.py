"""The bytes of a file in blocks of whole lines, whatever they are wrapped in."""

import codecs
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from exporter.errors import FinetuneError
from exporter.records.rows import MAX_LINE_BYTES

# Larger blocks leave the processor's cache and cost half as much again.
_BLOCK_BYTES = 1 << 16
HEAD_BYTES = 1 << 18
# By so much the head grows until its first line has an end.
_STEP_BYTES = 1 << 20

# Blank lines, and the marks of DOS and of RFC 7464 that may stand there.
BLANK = b" \t\n\v\f\r\x1a\x1e"
_END_OF_LINE = re.compile(rb"\n|\r(?=.)", re.DOTALL)
_BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a file, or standard input for "-"; yield it with its name.

    Raises:
        FinetuneError: It cannot be opened.
    """
    if str(path) == "-":
        if sys.stdin is None:
            raise FinetuneError("standard input is closed; name a file")
        yield sys.stdin.buffer, "standard input"
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(str(path), error) from error
    with file:
        yield file, str(path)


def _unreadable(name: str, error: Exception) -> FinetuneError:
    reason = getattr(error, "strerror", None) or error
    return FinetuneError(f"{name}: cannot be read: {reason}")


class Source:
    """A file as blocks of whole lines in UTF-8, unpacked, without a mark."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self.end_of_line = b"\n"
        self._raw = file
        self._file: Any = file
        self._stack = ExitStack()
        self._rest = b""
        self._ended = False

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what goes wrong while reading into one line."""
        try:
            with self._stack:
                yield
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise _unreadable(self.name, error) from error

    def head(self) -> bytes:
        """Return the beginning, without taking it; unpack and convert it.

        The first line that is not blank is whole, unless it is over-long or an array.
        """
        self._fill(4)
        while self._rest.startswith(b"\x1f\x8b"):
            rest, self._rest, self._ended = self._rest, b"", False
            self._file = self._stack.enter_context(
                gzip.GzipFile(fileobj=_Joined(rest, self._file))
            )
            self._fill(4)
        is_utf16 = self._rest.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if is_utf16 and not self._rest.startswith(codecs.BOM_UTF32_LE):
            rest, self._rest, self._ended = self._rest, b"", False
            self._file = _Utf8(_Joined(rest, self._file))
        self._fill(HEAD_BYTES)
        self._rest = self._rest.removeprefix(_BOM)
        return self.first_line()

    def first_line(self) -> bytes:
        """Return what comes next, its first line whole as `head` has it."""
        while not self._ended and len(self._rest) <= MAX_LINE_BYTES:
            start = len(self._rest) - len(self._rest.lstrip(BLANK))
            is_array = self._rest.startswith(b"[", start)
            if is_array or _END_OF_LINE.search(self._rest, start):
                break
            self._fill(len(self._rest) + _STEP_BYTES)
        return self._rest

    def drop(self, size: int) -> None:
        """Take bytes of the head."""
        self._rest = self._rest[size:]

    def block(self, size: int = _BLOCK_BYTES) -> bytes:
        """Take about that many bytes of whole lines; nothing is left after b"".

        Of an over-long line only its beginning is given. The last line may have
        no end.
        """
        self._fill(size)
        end = self._rest.rfind(self.end_of_line) + 1
        while not end and not self._ended:
            if len(self._rest) > MAX_LINE_BYTES:
                return self._beginning()
            had = len(self._rest)
            self._fill(had + size)
            end = self._rest.rfind(self.end_of_line, had) + 1
        if self._ended:
            end = len(self._rest)
        block, self._rest = self._rest[:end], self._rest[end:]
        return block

    def piece(self, size: int) -> bytes:
        """Take about that many bytes, at least a block; b"" at the end."""
        self._fill(max(size, _BLOCK_BYTES))
        piece, self._rest = self._rest, b""
        return piece

    def position(self) -> int:
        """Return how many bytes of the file itself were taken."""
        try:
            return self._raw.tell()
        except (OSError, ValueError):
            return 0

    def _beginning(self) -> bytes:
        beginning = self._rest[: MAX_LINE_BYTES + 1]
        end = -1
        while end < 0 and not self._ended:
            self._rest = b""
            self._fill(_BLOCK_BYTES)
            end = self._rest.find(self.end_of_line)
        self._rest = self._rest[end + 1 :] if end >= 0 else b""
        return beginning + self.end_of_line

    def _fill(self, size: int) -> None:
        pieces = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and not self._ended:
            piece = self._file.read(max(missing, _BLOCK_BYTES))
            self._ended = not piece
            pieces.append(piece)
            missing -= len(piece)
        self._rest = b"".join(pieces)


class _Joined(io.RawIOBase):
    """Bytes that were read already, and the file that they came from."""

    def __init__(self, rest: bytes, file: IO[bytes]) -> None:
        self._rest = rest
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            return self._file.read(size)
        size = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Utf8:
    """A file in UTF-16, read as UTF-8."""

    def __init__(self, file: _Joined) -> None:
        self._file = file
        # Half a pair makes UTF-8 that is refused with its line.
        self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")

    def read(self, size: int) -> bytes:
        while True:
            piece = self._file.read(size)
            text = self._decoder.decode(piece, final=not piece)
            if text or not piece:
                return text.encode(errors="surrogatepass")
