"""The bytes of a file in blocks of whole lines, whatever they are wrapped in."""

import gzip
import re
import shlex
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
from exporter.records.rows import HOLDS_NUL, MAX_LINE_BYTES

# Larger blocks leave the processor's cache and cost half as much again.
BLOCK_BYTES = 1 << 16
HEAD_BYTES = 1 << 18
# By so much the head grows until its first line has an end.
_STEP_BYTES = 1 << 20

# Blank lines, and the marks of DOS and of RFC 7464 that may stand there.
BLANK = b" \t\n\v\f\r\x1a\x1e"
_END_OF_LINE = re.compile(rb"\n|\r(?=.)", re.DOTALL)


@contextmanager
def opened(path: Path) -> Iterator["Source"]:
    """Open a file, or standard input for "-".

    Raises:
        FinetuneError: It cannot be opened, or what is read there is damaged.
    """
    piped = str(path) == "-"
    name = "standard input" if piped else str(path)
    if piped and sys.stdin is None:
        raise FinetuneError("standard input is closed; name a file")
    try:
        with nullcontext(sys.stdin.buffer) if piped else path.open("rb") as file:
            yield Source(file, name)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FinetuneError(f"{name}: cannot be read: {reason}") from error


class Source:
    """A file as blocks of whole lines in UTF-8, unpacked, without a mark."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        # As a command that can be pasted has it.
        self.pasted = "FILE" if name == "standard input" else shlex.quote(name)
        self.end_of_line = b"\n"
        self._raw = file
        self._file: Any = file
        self._decoder: IncrementalDecoder | None = None
        self._rest = b""
        self._ended = False

    def error(self, reason: str, line: int | None = None) -> FinetuneError:
        """Return what says why nothing of the file can be loaded."""
        place = self.name if line is None else f"{self.name}:{line}"
        return FinetuneError(f"{place}: {reason}")

    def jq(self, program: str) -> str:
        """Return the command that changes the file so, as it can be pasted."""
        return f"jq -c {shlex.quote(program)} {self.pasted} > NEW"

    def fault(self, text: bytes) -> str:
        """Say why a text is none that PostgreSQL can store; "" if it is one."""
        if b"\0" in text:
            return HOLDS_NUL
        try:
            text.decode()
        except UnicodeDecodeError as error:
            return self.not_utf8(error)
        return ""

    def not_utf8(self, error: UnicodeDecodeError) -> str:
        """Say where a text is not UTF-8, and what it may be."""
        return (
            f"not UTF-8: {error.reason} at byte {error.start}; for Windows text: "
            f"iconv -f CP1252 -t UTF-8 {self.pasted} > NEW"
        )

    def head(self) -> bytes:
        """Return the beginning, without taking it; unpack and convert it.

        The first line that is not blank is whole, unless it is over-long or an array.
        """
        self._fill(4)
        while self._rest.startswith(b"\x1f\x8b"):
            self._file = gzip.GzipFile(fileobj=self._joined())
            self._fill(4)
        utf16 = self._rest.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        if utf16 and not self._rest.startswith(BOM_UTF32_LE):
            # Half a pair makes UTF-8 that is refused with its line.
            self._decoder = getincrementaldecoder("utf-16")("surrogatepass")
            self._file = self._joined()
        self._fill(HEAD_BYTES)
        while self._rest.startswith(BOM_UTF8):
            self._rest = self._rest.removeprefix(BOM_UTF8)
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

    def block(self) -> bytes:
        """Take some whole lines; nothing is left after b"".

        Of an over-long line only its beginning is given. The last line may have
        no end.
        """
        self._fill(BLOCK_BYTES)
        end = self._rest.rfind(self.end_of_line, 0, BLOCK_BYTES) + 1
        end = end or self._rest.find(self.end_of_line) + 1
        while not end and not self._ended:
            if len(self._rest) > MAX_LINE_BYTES:
                return self._beginning()
            had = len(self._rest)
            self._fill(had + max(BLOCK_BYTES, had >> 3))
            end = self._rest.find(self.end_of_line, had) + 1
        block, self._rest = self._rest[: end or None], self._rest[end:] if end else b""
        return block

    def piece(self, size: int) -> bytes:
        """Take about that many bytes, at least a block; b"" at the end."""
        self._fill(max(size, BLOCK_BYTES))
        piece, self._rest = self._rest, b""
        return piece

    def position(self) -> int:
        """Return how many bytes of the file itself were taken."""
        try:
            return self._raw.tell()
        except (OSError, ValueError):
            return 0

    def _beginning(self) -> bytes:
        beginning, end = self._rest[: MAX_LINE_BYTES + 1], -1
        while end < 0 and not self._ended:
            self._rest = b""
            self._fill(BLOCK_BYTES)
            end = self._rest.find(self.end_of_line)
        self._rest = self._rest[end + 1 :] if end >= 0 else b""
        return beginning + self.end_of_line

    def _fill(self, size: int) -> None:
        pieces = [self._rest]
        missing = size - len(self._rest)
        while missing > 0 and not self._ended:
            piece = self._file.read(max(missing, BLOCK_BYTES))
            self._ended = not piece
            if self._decoder:
                if self._ended and self._decoder.getstate()[0]:
                    raise EOFError("it ends within a character; copy the file again")
                piece = self._decoder.decode(piece).encode("utf-8", "surrogatepass")
            pieces.append(piece)
            missing -= len(piece)
        self._rest = b"".join(pieces)

    def _joined(self) -> Any:  # noqa: ANN401
        """Return the file from its beginning, as nothing of it was read."""
        rest, self._rest, self._ended = self._rest, b"", False
        return _Joined(rest, self._file)


class _Joined:
    """Bytes that were read already, and the file that they came from."""

    def __init__(self, rest: bytes, file: IO[bytes]) -> None:
        self._rest, self._file = rest, file

    def read(self, size: int) -> bytes:
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken or self._file.read(size)
