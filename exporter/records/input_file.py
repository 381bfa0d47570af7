"""A file as UTF-8 text in blocks of whole lines, decompressed and without a mark."""

import gzip
import re
import sys
import zlib
from codecs import (
    BOM_UTF8,
    BOM_UTF16_BE,
    BOM_UTF16_LE,
    BOM_UTF32_LE,
    IncrementalDecoder,
    getincrementaldecoder,
)
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

from exporter.errors import FinetuneError
from exporter.records.named_file import STANDARD_INPUT, NamedFile
from exporter.records.rows import MAX_LINE_BYTES

# Larger blocks do not fit into the processor's cache and take half as long again.
BLOCK_BYTES = 1 << 16
HEAD_BYTES = 1 << 18
# The head grows by this much until its first line is complete.
_STEP_BYTES = 1 << 20

# Blank lines, and the marks of DOS and of RFC 7464 that may be there.
BLANK = b" \t\n\v\f\r\x1a\x1e"
_END_OF_LINE = re.compile(rb"\n|\r(?=.)", re.DOTALL)


@contextmanager
def open_input(path: Path) -> Iterator["InputFile"]:
    """Open a file, or standard input for "-".

    Raises:
        FinetuneError: It cannot be opened, or what is read there is damaged.
    """
    piped = str(path) == "-"
    name = STANDARD_INPUT if piped else str(path)
    if piped and sys.stdin is None:
        raise FinetuneError("standard input is closed; name a file")
    try:
        with nullcontext(sys.stdin.buffer) if piped else path.open("rb") as file:
            yield InputFile(file, name)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FinetuneError(f"{name}: cannot be read: {reason}") from error


class InputFile(NamedFile):
    """An open file; what is peeked at stays to be read."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        super().__init__(name)
        self.end_of_line = b"\n"
        self._raw = file
        self._file: Any = file
        self._decoder: IncrementalDecoder | None = None
        self._buffer = b""
        self._ended = False

    def peek(self) -> bytes:
        """Return the beginning of the file, decompressed and in UTF-8.

        Call it once, before anything else.
        """
        self._fill(4)
        while self._buffer.startswith(b"\x1f\x8b"):
            self._file = gzip.GzipFile(fileobj=self._unread())
            self.decoders.append("gzip -dc")
            self._fill(4)
        utf16 = self._buffer.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        if utf16 and not self._buffer.startswith(BOM_UTF32_LE):
            # An unpaired surrogate becomes invalid UTF-8, so only its line is rejected.
            self._decoder = getincrementaldecoder("utf-16")("surrogatepass")
            self.decoders.append("iconv -f UTF-16 -t UTF-8")
            self._file = self._unread()
        self._fill(HEAD_BYTES)
        while self._buffer.startswith(BOM_UTF8):
            self._buffer = self._buffer.removeprefix(BOM_UTF8)
        return self.peek_line()

    def peek_line(self) -> bytes:
        """Return what comes next.

        The first line that is not blank is complete, unless it is too long or an array.
        """
        while not self._ended and len(self._buffer) <= MAX_LINE_BYTES:
            start = len(self._buffer) - len(self._buffer.lstrip(BLANK))
            is_array = self._buffer.startswith(b"[", start)
            if is_array or _END_OF_LINE.search(self._buffer, start):
                break
            self._fill(len(self._buffer) + _STEP_BYTES)
        return self._buffer

    def skip(self, size: int) -> None:
        """Skip bytes that were peeked at."""
        self._buffer = self._buffer[size:]

    def read_lines(self) -> bytes:
        """Return some whole lines, or b"" at the end of the file.

        A line that is too long is cut. The last line may have no end.
        """
        self._fill(BLOCK_BYTES)
        end = self._buffer.rfind(self.end_of_line, 0, BLOCK_BYTES) + 1
        end = end or self._buffer.find(self.end_of_line) + 1
        while not end and not self._ended:
            if len(self._buffer) > MAX_LINE_BYTES:
                return self._cut_line()
            had = len(self._buffer)
            self._fill(had + max(BLOCK_BYTES, had >> 3))
            end = self._buffer.find(self.end_of_line, had) + 1
        block = self._buffer[: end or None]
        self._buffer = self._buffer[end:] if end else b""
        return block

    def read(self, size: int) -> bytes:
        """Return about that many bytes, at least a block; b"" at the end."""
        self._fill(max(size, BLOCK_BYTES))
        data, self._buffer = self._buffer, b""
        return data

    def tell(self) -> int:
        """Return how many bytes of the file on the disk were read."""
        try:
            return self._raw.tell()
        except (OSError, ValueError):
            return 0

    def _cut_line(self) -> bytes:
        """Return the beginning of a line that is too long, and skip its rest."""
        beginning, end = self._buffer[: MAX_LINE_BYTES + 1], -1
        while end < 0 and not self._ended:
            self._buffer = b""
            self._fill(BLOCK_BYTES)
            end = self._buffer.find(self.end_of_line)
        self._buffer = self._buffer[end + 1 :] if end >= 0 else b""
        return beginning + self.end_of_line

    def _fill(self, size: int) -> None:
        """Read until the buffer has that many bytes or the file ends."""
        pieces = [self._buffer]
        missing = size - len(self._buffer)
        while missing > 0 and not self._ended:
            piece = self._file.read(max(missing, BLOCK_BYTES))
            self._ended = not piece
            if self._decoder:
                if self._ended and self._decoder.getstate()[0]:
                    raise EOFError("it ends within a character; copy the file again")
                piece = self._decoder.decode(piece).encode("utf-8", "surrogatepass")
            pieces.append(piece)
            missing -= len(piece)
        self._buffer = b"".join(pieces)

    def _unread(self) -> Any:  # noqa: ANN401
        """Return the file as if nothing of it was read."""
        rest, self._buffer, self._ended = self._buffer, b"", False
        return _Unread(rest, self._file)


class _Unread:
    """Bytes that were read from a file, and then the rest of it."""

    def __init__(self, rest: bytes, file: IO[bytes]) -> None:
        self._rest, self._file = rest, file

    def read(self, size: int) -> bytes:
        data, self._rest = self._rest[:size], self._rest[size:]
        return data or self._file.read(size)
