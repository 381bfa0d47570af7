"""Rows out of CSV; a fault in it costs its own line, and no other."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from exporter.errors import FinetuneError
from exporter.records.csv_form import CsvForm
from exporter.records.look import Look, not_utf8
from exporter.records.rows import (
    HOLDS_NUL,
    MAX_LINE_BYTES,
    TOO_LONG,
    Block,
    Columns,
    Form,
    Intake,
    Reject,
    is_utf8,
)
from exporter.records.source import Source

_BLOCK_BYTES = 1 << 16
_BOM = b"\xef\xbb\xbf"
# So many lines that are rows themselves are no text of a field: a quote was left
# open, and another one that stands by chance closed it.
_ROWS_IN_A_FIELD = 3


def csv_rows(
    source: Source, seen: Look, columns: Columns, intake: Intake
) -> Iterator[Block]:
    """Yield the rows of CSV, after its header."""
    reader = _Reader(source, seen, columns, intake)
    while (block := reader.next_block()) is not None:
        yield reader.form, block


class _Record(NamedTuple):
    """Where a row or a faulty line ends; its values, or what is wrong."""

    end: int
    values: list[bytes]
    fault: str = ""


class _Reader:
    """What was read and not yet split into records.

    Blocks of plain rows go to the server as they are, which takes a tenth of the
    time of the csv module. What is left is judged row by row: a quoted field over
    many lines is a text, or a quote that was left open. Fewest lines are set aside.
    """

    def __init__(
        self, source: Source, seen: Look, columns: Columns, intake: Intake
    ) -> None:
        self.source = source
        self.intake = intake
        self.number = seen.first_line
        self.header = [name.encode() for name in seen.header]
        self.places = sorted(map(seen.header.index, columns.wanted()))
        loaded = tuple(seen.header[place] for place in self.places)
        self.form = Form(loaded, seen.separator, seen.end)
        self.buffer = b""
        self.ended = False
        # Up to this line, what reads as a row may be the rest of a broken text.
        self.doubtful = 0
        width = len(seen.header)
        self.syntax = CsvForm(seen.separator, seen.quote, source.end_of_line)
        row = self.syntax.plain_row(self.places, width, seen.end)
        self.plain = re.compile(row)
        row = self.syntax.plain_row([], width, seen.end)
        self.plain_rows = re.compile(b"(%b)*" % row)
        self.sure = self.syntax.sure_rows(width, spaced=seen.spaced)
        self.likely = self.syntax.likely_row(width, spaced=seen.spaced)
        names = {seen.header[0], *columns.wanted()}
        self.again = self.syntax.header_again(names, source.end_of_line)

    def next_block(self) -> bytes | None:
        """Return the next rows; None at the end."""
        if len(self.buffer) < _BLOCK_BYTES and not self.ended:
            self._more()
        if not self.buffer:
            return None
        return self._plain_block() or self._judged_block()

    def _more(self) -> bool:
        block = self.source.block(max(_BLOCK_BYTES, len(self.buffer)))
        self.ended = not block
        self.buffer += block
        return bool(block)

    def _plain_block(self) -> bytes:
        """Take plain rows as they are; b"" if what comes wants a closer look.

        The last one stays, to be judged with what follows.
        """
        if self.syntax.quote != b'"' or self.number <= self.doubtful:
            return b""
        found = self.plain_rows.match(self.buffer)
        end = found.end() if found else 0
        if found and not (self.ended and end == len(self.buffer)):
            end = max(0, found.start(1))
        block, end_of_line = self.buffer[:end], self.source.end_of_line
        if b"\0" in block or _BOM in block or not is_utf8(block):
            return b""
        if self.again.search(end_of_line + block):
            return b""
        lines = block.count(end_of_line)
        spans = block.replace(b'""', b"").split(b'"')
        rows = b"".join(spans[::2]).count(end_of_line)
        if lines > rows + _ROWS_IN_A_FIELD and any(map(self._holds_rows, spans[1::2])):
            return b""
        self.buffer = self.buffer[end:]
        self.intake.add(rows, lines)
        self.number += lines
        if len(self.places) < len(self.header):
            picked = map(self.syntax.between.join, self.plain.findall(block))
            return self.form.end.encode().join([*picked, b""])
        return block

    def _holds_rows(self, text: bytes) -> bool:
        """Say whether all lines of a text but the outer ones are rows."""
        if text.count(self.source.end_of_line) <= _ROWS_IN_A_FIELD:
            return False
        return all(
            self.likely.fullmatch(line.removesuffix(b"\r"))
            for line in text.split(self.source.end_of_line)[1:-1]
        )

    def _judged_block(self) -> bytes:
        rows: list[bytes] = []
        place, target = 0, len(self.buffer)
        while place < target:
            place = self._judge(place, rows)
        self.buffer = self.buffer[place:]
        return b"".join(rows)

    def _judge(  # noqa: PLR0911 - a verdict each
        self, start: int, rows: list[bytes]
    ) -> int:
        """Take a row, or set a line aside; return where the next one begins."""
        line_end = self.buffer.find(self.source.end_of_line, start) + 1
        line_end = line_end or len(self.buffer)
        if not self.buffer[start:line_end].strip(self.syntax.blanks + b"\r\n\x1a"):
            self.intake.other_lines += 1
            self.number += 1
            return line_end
        if line_end - start > MAX_LINE_BYTES:
            return self._set_aside(start, line_end, TOO_LONG)
        record = self._read(start)
        lines = self._lines(start, record.end)
        if record.fault:
            self.doubtful = max(self.doubtful, self.number + lines - 1)
            return self._set_aside(start, line_end, record.fault)
        if len(record.values) != len(self.header):
            fault = (
                f"{len(record.values)} fields, but the header has {len(self.header)}"
            )
            alone = lines > 1 and self._sure_end(line_end) >= record.end
            return self._set_aside(start, line_end if alone else record.end, fault)
        if lines > 1 and self._is_open(start, line_end, record.end):
            fault = "not CSV: a quote is not closed in this line"
            return self._set_aside(start, line_end, fault)
        text = self.buffer[start : record.end]
        if lines == 1 and self.number <= self.doubtful:
            if not self.likely.fullmatch(text):
                fault = "may be the rest of a field whose quote is broken above"
                return self._set_aside(start, line_end, fault)
            self.doubtful = 0
        fault = self._bytes_fault(text)
        if fault:
            return self._set_aside(start, record.end, fault)
        if self._is_header(record.values):
            self.intake.note(
                f"{self.source.name}:{self.number}: the header again, passed over"
            )
            self.intake.other_lines += lines
        else:
            self.intake.add(1, lines)
            fields = [record.values[place] for place in self.places]
            row = self.syntax.between.join(map(_quoted, fields))
            rows.append(row + self.form.end.encode())
        self.number += lines
        return record.end

    def _is_header(self, values: list[bytes]) -> bool:
        """Say whether a row is the header again, in capitals or not.

        Raises:
            FinetuneError: It is that of a file with another order of columns.
        """
        names = [value.removeprefix(_BOM).strip().lower() for value in values]
        wanted = [name.lower() for name in self.header]
        if names != wanted and len(names) > 1 and sorted(names) == sorted(wanted):
            raise FinetuneError(
                f"{self.source.name}:{self.number}: a header with the columns in "
                "another order: two files were joined; load each by itself"
            )
        return names == wanted

    def _read(self, start: int) -> _Record:
        """Read a row of any length, in more of the file if it goes on there."""
        while True:
            row = self.syntax.any_row.match(self.buffer, start)
            if row:
                return _Record(row.end(), self.syntax.split(row[0]))
            if not self.syntax.open_row.match(self.buffer, start):
                break
            too_long = len(self.buffer) - start > MAX_LINE_BYTES
            if self.ended or too_long or not self._more():
                fault = "not CSV: a quote is never closed"
                return _Record(len(self.buffer), [], fault)
        torn = self.syntax.torn_row.match(self.buffer, start)
        fault = "a carriage return in a field without quotes"
        if torn:
            fault = "text after a closing quote"
        end = torn.end() if torn else start
        line_end = self.buffer.find(self.source.end_of_line, end) + 1
        return _Record(line_end or len(self.buffer), [], f"not CSV: {fault}")

    def _is_open(self, start: int, line_end: int, end: int) -> bool:
        """Say whether a row over many lines is one whose quote was left open."""
        if self._holds_rows(self.buffer[start:end]):
            return True
        if end == len(self.buffer) and not self._more():
            return False
        following = self._read(end)
        blank = following.values == [b""]
        if not following.fault and (blank or len(following.values) == len(self.header)):
            return False
        return self._sure_end(line_end) > end

    def _sure_end(self, start: int) -> int:
        """Return how far rows beyond doubt go."""
        rows = self.sure.match(self.buffer, start)
        return rows.end() if rows else start

    def _lines(self, start: int, end: int) -> int:
        lines = self.buffer.count(self.source.end_of_line, start, end)
        return lines + (not self.buffer.endswith(self.source.end_of_line, start, end))

    def _bytes_fault(self, text: bytes) -> str:
        if b"\0" in text:
            return HOLDS_NUL
        try:
            text.decode()
        except UnicodeDecodeError as error:
            return not_utf8(self.source.name, error)
        return ""

    def _set_aside(self, start: int, end: int, fault: str) -> int:
        text = self.buffer[start:end]
        if fault != TOO_LONG:
            fault = self._bytes_fault(text) or fault
        bad = Reject(
            self.source.name, self.number, fault, text.decode(errors="backslashreplace")
        )
        lines = self._lines(start, end)
        self.intake.set_aside(bad, lines)
        self.number += lines
        return end


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b'"', b'""') if value else b""
