"""Rows of (id, title, content) out of JSON Lines or CSV files."""

import csv
import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson

from exporter.errors import FinetuneError

# Longer lines are damage, not data: PostgreSQL would take 1 GB, but no trainer
# takes an example of this size.
MAX_LINE_BYTES = 16 * 1024 * 1024

_TOO_LONG = f"longer than {MAX_LINE_BYTES >> 20} MiB"
_HOLDS_NUL = "holds a NUL, which PostgreSQL cannot store"

Row = tuple[str | None, str | None, str | None]


class ByteFile(Protocol):
    """What a plain, a compressed and a standard file have in common."""

    def peek(self, size: int, /) -> bytes:
        """Return the next bytes without taking them."""

    def readline(self, size: int, /) -> bytes:
        """Take a line, or its next `size` bytes."""

    def read(self, size: int, /) -> bytes:
        """Take the next bytes."""

    def tell(self) -> int:
        """Return how many bytes were taken."""


class Reject(NamedTuple):
    """A line that holds no row, and why; a CSV row may span several lines."""

    file: str
    line: int
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def read_rows(
    path: Path, columns: Sequence[str], reject: Callable[[Reject], None]
) -> Iterator[Row]:
    """Yield the rows of a file, plain or compressed by gzip; "-" is stdin.

    A name that ends in .csv or .csv.gz, or standard input that does not begin
    with "{", is CSV with a header, in which an empty field is null. Anything
    else is JSON Lines: an object a line that has the three columns as keys;
    other keys and blank lines are passed over. `reject` is given each line that
    holds no row.

    Raises:
        FinetuneError: The file cannot be read, or its header lacks a column.
    """
    name = "standard input" if str(path) == "-" else str(path)
    with ExitStack() as stack:
        try:
            if str(path) == "-":
                if sys.stdin is None:
                    raise FinetuneError("standard input is closed; name a file")
                file: Any = sys.stdin.buffer
            else:
                file = stack.enter_context(path.open("rb"))
            if file.peek(2)[:2] == b"\x1f\x8b":
                file = stack.enter_context(gzip.open(file))
            if str(path) == "-":
                is_csv = not file.peek(1).lstrip(b"\xef\xbb\xbf \n").startswith(b"{")
            else:
                is_csv = name.removesuffix(".gz").endswith(".csv")
            yield from (_csv_rows if is_csv else _json_rows)(
                file, name, columns, reject
            )
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise FinetuneError(f"{name}: cannot be read: {reason}") from error


def _json_rows(
    file: ByteFile,
    name: str,
    columns: Sequence[str],
    reject: Callable[[Reject], None],
) -> Iterator[Row]:
    for number, line in enumerate(_lines(file), 1):
        try:
            row = _json_row(line, columns)
        except ValueError as error:
            if not line.isspace():
                text = line.decode(errors="backslashreplace")
                reject(Reject(name, number, str(error), text))
        else:
            yield row


def _json_row(line: bytes, columns: Sequence[str]) -> Row:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(_TOO_LONG)
    try:
        value = orjson.loads(line)
        uid, title, content = [value[column] for column in columns]
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON in UTF-8: {error}") from error
    except KeyError as error:
        raise ValueError(f"key {error} is missing") from error
    except TypeError as error:
        raise ValueError("not a JSON object") from error
    if type(uid) is int:
        uid = str(uid)
    row = (uid, title, content)
    for column, field in zip(columns, row, strict=True):
        if field is None:
            continue
        if type(field) is not str:
            kind = type(field).__name__
            raise ValueError(f"{column} is {kind}, but must be text or null")
        if "\0" in field:
            raise ValueError(f"{column} {_HOLDS_NUL}")
    return row


def _csv_rows(
    file: ByteFile,
    name: str,
    columns: Sequence[str],
    reject: Callable[[Reject], None],
) -> Iterator[Row]:
    taken: list[bytes] = []
    faults: list[str] = []

    def decoded() -> Iterator[str]:
        for line in _lines(file):
            taken.append(line)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                faults.append(f"not UTF-8: {error.reason} at byte {error.start}")
                text = line.decode(errors="replace")
            if len(line) > MAX_LINE_BYTES:
                faults.insert(0, _TOO_LONG)
                # An error inside and outside of quotes, so the row ends here.
                text = '"a"b\n'
            elif "\0" in text:
                faults.append(_HOLDS_NUL)
            # Before Python 3.11 the csv module stops at a NUL.
            yield text.replace("\0", "")

    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(decoded(), strict=True)
    header = [field.strip() for field in next(reader, [])]
    missing = [column for column in columns if column not in header]
    if missing or faults:
        raise FinetuneError(
            f"{name}:1: {faults[0] if faults else f'no column {missing[0]}'}; the "
            f"first line must name the columns {', '.join(columns)}"
        )
    places = [header.index(column) for column in columns]
    while True:
        number = reader.line_num + 1
        taken.clear()
        faults.clear()
        fields: list[str] = []
        try:
            fields = next(reader)
            if fields and len(fields) != len(header):
                faults.append(f"{len(fields)} fields, but the header has {len(header)}")
        except StopIteration:
            return
        except csv.Error as error:
            faults.append(f"not CSV: {error}")
        if faults:
            text = b"".join(taken).decode(errors="backslashreplace")
            reject(Reject(name, number, faults[0], text))
        elif fields:
            uid, title, content = (fields[place] or None for place in places)
            yield uid, title, content


def _lines(file: ByteFile) -> Iterator[bytes]:
    """Yield lines without a BOM; of an over-long one, its beginning."""
    line = file.readline(MAX_LINE_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    while line:
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE_BYTES + 1)
        yield line
        line = file.readline(MAX_LINE_BYTES + 1)
