"""The columns to load, the rows as COPY accepts them, and what became of each line."""

from codecs import utf_8_decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

# Longer lines are damage, not data: PostgreSQL would accept 1 GB, but no trainer
# accepts an example of this size.
MAX_LINE_BYTES = 16 * 1024 * 1024

TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"
# Of a line that is too long, show this much.
SHOWN_BYTES = 1 << 10
# The system allocates memory anew for each longer text: decoding 64 KiB at once takes
# 1.7 times as long as in pieces of this size (Linux, November 2026).
_PIECE_BYTES = 1 << 14
CONTAINS_NUL = "contains a NUL, which PostgreSQL cannot store"
HALF_A_PAIR = "contains half of a surrogate pair, which is not a character"


class CopyFormat(NamedTuple):
    r"""How the rows of a block are written: CSV, or COPY's text format.

    Without a separator it is the text format. Null is an empty field in CSV, and \N in
    the text format.
    """

    columns: tuple[str, ...]
    separator: str = ""
    row_end: str = "\n"


# Rows in a format that PostgreSQL's COPY accepts.
Block = tuple[CopyFormat, bytes]


class Columns(NamedTuple):
    """The names of the columns in the file; without an id column, `id` is None."""

    id: str | None
    title: str
    content: str

    def names(self) -> list[str]:
        """Return the names in the order of a row."""
        return [name for name in self if name is not None]

    def missing_options(self, found: list[str]) -> str:
        """Return the options that name the columns missing from those found."""
        parts = []
        for option, name in zip(("--id", "--title", "--content"), self, strict=True):
            if name is None or name in found:
                continue
            same = name.lower()
            alike = [other for other in found if other.strip().lower() == same]
            parts.append(f"{option} {alike[0] if len(alike) == 1 else 'COLUMN'}")
        no_id = "--id COLUMN" in parts
        return " ".join(parts) + (" (or --no-id if the rows have none)" * no_id)


class Reject(NamedTuple):
    """A line without a usable row, and why; a CSV row may span several lines."""

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass
class LoadStats:
    """Counts of rows, and of lines: with rows, rejected, skipped."""

    on_reject: Callable[[Reject], None]
    rows: int = 0
    row_lines: int = 0
    rejected_lines: int = 0
    # Blank lines and headers.
    skipped_lines: int = 0
    # Bytes read of the files as they are on the disk, perhaps compressed.
    bytes_read: int = 0
    last_reject: Reject | None = None
    # Which columns of each CSV file are loaded, and which are not.
    notes: list[str] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """All lines so far."""
        return self.row_lines + self.rejected_lines + self.skipped_lines

    @property
    def too_many_rejected(self) -> bool:
        """Return whether more than a tenth is bad; in short files, ten or half."""
        return self.rejected_lines > min(self.lines / 2, max(10, self.lines / 10))

    def add_rows(self, rows: int, lines: int | None = None) -> None:
        """Count rows and the lines that they span, by default one each."""
        self.rows += rows
        self.row_lines += rows if lines is None else lines

    def reject(
        self, file: str, line: int, reason: str, text: bytes, lines: int = 1
    ) -> None:
        """Count lines without a usable row, and pass them to `on_reject`."""
        self.rejected_lines += lines
        shown = text.decode(errors="backslashreplace")
        self.last_reject = Reject(file, line, reason, shown)
        self.on_reject(self.last_reject)


def is_utf8(block: bytes) -> bool:
    """Return whether a block is UTF-8, without unpaired surrogates."""
    end = len(block) if block.isascii() else 0
    try:
        while end < len(block):
            last = end + _PIECE_BYTES >= len(block)
            piece = block[end : end + _PIECE_BYTES]
            end += utf_8_decode(piece, "strict", last)[1]
    except UnicodeDecodeError:
        return False
    return True
