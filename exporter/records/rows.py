"""What is wanted of a file, and what became of each of its lines."""

from codecs import utf_8_decode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

# Longer lines are damage, not data: PostgreSQL would take 1 GB, but no trainer
# takes an example of this size.
MAX_LINE_BYTES = 16 * 1024 * 1024

TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"
# As much of such a line is shown.
SHOWN_BYTES = 1 << 10
# The text of a longer piece is memory that the system hands out anew each time: 64 KiB
# at once take 1.7 times as long as in pieces (Linux, November 2026).
_PIECE_BYTES = 1 << 14
HOLDS_NUL = "holds a NUL, which PostgreSQL cannot store"


class Form(NamedTuple):
    """How rows stand in blocks: CSV, or COPY's own text where no separator is.

    Null is a field of CSV without text; in COPY's own text it is spelled so.
    """

    columns: tuple[str, ...]
    separator: str = ""
    end: str = "\n"


# Rows in a form that PostgreSQL's COPY takes.
Block = tuple[Form, bytes]


class Columns(NamedTuple):
    """The names that a row has in the file; no id is wanted when it is None."""

    id: str | None
    title: str
    content: str

    def wanted(self) -> list[str]:
        """Return the names in the order of the rows."""
        return [name for name in self if name is not None]

    def options(self, found: list[str]) -> str:
        """Return how to say which of the columns found are which."""
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
    """A line that holds no row, and why; a CSV row may span several lines."""

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass
class Intake:
    """What became of the lines of the files: rows, set aside, passed over."""

    reject: Callable[[Reject], None]
    rows: int = 0
    row_lines: int = 0
    bad_lines: int = 0
    other_lines: int = 0
    # Bytes of the files that were read, as they lie on the disk.
    position: int = 0
    found: list[str] = field(default_factory=list)
    last: Reject | None = None
    # What was found in each file, for people.
    loaded: list[str] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """All lines so far."""
        return self.row_lines + self.bad_lines + self.other_lines

    @property
    def too_many(self) -> bool:
        """Say whether more than a tenth is bad; in short files, ten lines or half."""
        return self.bad_lines > min(self.lines / 2, max(10, self.lines / 10))

    def add(self, rows: int, lines: int | None = None) -> None:
        """Count rows and the lines that they took."""
        self.rows += rows
        self.row_lines += rows if lines is None else lines

    def set_aside(
        self, file: str, line: int, reason: str, text: bytes, lines: int = 1
    ) -> None:
        """Count lines that hold no row, and hand on what can be shown of them."""
        self.bad_lines += lines
        shown = text.decode(errors="backslashreplace")
        self.last = Reject(file, line, reason, shown)
        self.reject(self.last)


def is_utf8(block: bytes) -> bool:
    """Return whether a block is UTF-8, without half surrogate pairs."""
    end = len(block) if block.isascii() else 0
    try:
        while end < len(block):
            last = end + _PIECE_BYTES >= len(block)
            piece = block[end : end + _PIECE_BYTES]
            end += utf_8_decode(piece, "strict", last)[1]
    except UnicodeDecodeError:
        return False
    return True
