"""Rows out of CSV; a fault in it costs its own line, and no other.

The patterns take time that grows linearly with the text, and no memory: a doubled
quote is one byte for them, a NUL, so that no group of them is repeated in a field.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice

from exporter.progress import say
from exporter.records.csv_header import Header, read_header
from exporter.records.csv_records import Record, Records
from exporter.records.rows import (
    MAX_LINE_BYTES,
    SHOWN_BYTES,
    TOO_LONG,
    Block,
    Columns,
    Form,
    Intake,
    is_utf8,
)
from exporter.records.source import BLOCK_BYTES, Source

# So many lines that are rows themselves are no text of a field: a quote was left
# open, and another one that stands by chance closed it.
_ROWS_IN_A_FIELD = 3


def csv_rows(source: Source, columns: Columns, intake: Intake) -> Iterator[Block]:
    """Yield the rows of CSV.

    Raises:
        FinetuneError: The header lacks a column, or another one follows.
    """
    rows = _Reader(source, columns, intake)
    while len(rows.buffer) >= BLOCK_BYTES or rows.more() or rows.buffer:
        yield rows.form, rows.plain_block() or rows.judged_block()


class _Reader(Records):
    """What was read and not yet split into records.

    Blocks of plain rows go to the server as they are, which takes a tenth of the
    time of the csv module. What is left is judged row by row: a quoted field over
    many lines is a text, or a quote that was left open. Fewest lines are set aside.
    """

    def __init__(self, source: Source, columns: Columns, intake: Intake) -> None:
        header = read_header(source, columns, intake)
        super().__init__(source, header)
        self.intake = intake
        self.number = header.first_line
        self.header = [name.encode() for name in header.columns]
        self.places = sorted(map(header.columns.index, columns.wanted()))
        loaded = tuple(header.columns[place] for place in self.places)
        self.form = Form(loaded, header.separator, header.end)
        # Up to this line, what reads as a row may be the rest of a broken text.
        self.doubtful = 0
        self._compile(header, {header.columns[0], *columns.wanted()})

    def _compile(self, header: Header, names: set[str]) -> None:
        s, q = re.escape(self.separator), self.quote
        blanks = b"" if header.spaced else self.blanks
        field, most = rb'(?:[^"\0%b\r\n]+|\0*(?:"[^"]*")?)' % s, self.width - 1
        row = rb"(?:%b%b){%d}%b%b" % (field, s, most, field, self.form.end.encode())
        self.plain_rows = re.compile(rb"(%b)*" % row)
        text = rb"[^%b\0%b%b\r\n][^%b\r\n]*" % (q, s, blanks, s)
        field = rb"(?:%b|\0*(?:%b[^%b]*%b)?)" % (text, q, q, q)
        row = rb"(?:%b%b){%d}%b%b" % (field, s, most, field, self.end)
        self.likely = re.compile(row)
        self.line = re.compile(rb"[^%b]*%b" % (self.line_end, self.line_end))
        # The fields that are wanted of a plain row, each as it stands.
        field = rb'(?:"[^"]*(?:""[^"]*)*"|[^"%b\r\n]*)' % s
        before = [-1, *self.places]
        row = s.join(
            rb"(?:%b%b){%d}(%b)" % (field, s, place - last - 1, field)
            for last, place in zip(before, self.places, strict=False)
        )
        row += rb"(?:%b%b){%d}" % (s, field, most - before[-1])
        self.picked = re.compile(row + self.form.end.encode())
        # A line after another that begins with a name of the header.
        name = b"|".join(re.escape(name.encode()) for name in names)
        again = rb"%b(?:%b)?[ \t]*%b?(?:%b)%b?[ \t]*%b"
        again %= self.line_end, BOM_UTF8, q, name, q, s
        self.again = re.compile(again, re.IGNORECASE)

    def plain_block(self) -> bytes:
        """Take plain rows as they are; b"" if what comes wants a closer look.

        The last one stays, to be judged with what follows.
        """
        # Blocks of bounded length, because the pattern of the fields takes memory.
        end = self.buffer.rfind(self.line_end, 0, 2 * BLOCK_BYTES) + 1
        block = self.buffer[:end]
        if self.quote != b'"' or self.number <= self.doubtful:
            return b""
        if b"\0" in block or not is_utf8(block):
            return b""
        text = block.replace(b'""', b"\0")
        found = self.plain_rows.match(text)
        end = max(0, found.start(1)) if found else 0
        if found and self.ended and found.end() == len(text):
            # Nothing follows, unless the last line has no end.
            end = found.end() if len(block) == len(self.buffer) else end
        spans = text[:end].split(b'"')
        rows = b"".join(spans[::2]).count(self.line_end)
        block = block[: end + text.count(b"\0", 0, end)]
        lines = block.count(self.line_end)
        if self.again.search(self.line_end + block):
            return b""
        if lines > rows + _ROWS_IN_A_FIELD and any(map(self._holds_rows, spans[1::2])):
            return b""
        self.buffer = self.buffer[len(block) :]
        self.intake.add(rows, lines)
        self.number += lines
        if len(self.places) < self.width:
            picked = map(self.separator.join, self.picked.findall(block))
            return self.form.end.encode().join([*picked, b""])
        return block

    def _holds_rows(self, text: bytes) -> bool:
        """Say whether all lines of a text but the outer ones are rows."""
        if text.count(self.line_end) <= _ROWS_IN_A_FIELD:
            return False
        lines = islice(self.line.finditer(text), 1, None)
        return all(self._is_likely(line[0]) for line in lines)

    def _is_likely(self, line: bytes) -> bool:
        """Say whether a line is a row, and no sentence with commas."""
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        return bool(self.likely.fullmatch(line.replace(self.quote * 2, b"\0")))

    def judged_block(self) -> bytes:
        """Take the rows of the next lines, one by one; b"" if there are none."""
        rows: list[bytes] = []
        place, target = 0, min(len(self.buffer), BLOCK_BYTES)
        while place < target:
            place = self._judge(place, rows)
        self.buffer = self.buffer[place:]
        return b"".join(rows)

    def _judge(self, start: int, rows: list[bytes]) -> int:
        """Take a row, or set a line aside; return where the next one begins."""
        line_end = self.end_of_line(start)
        if line_end - start > MAX_LINE_BYTES:
            return self._set_aside(start, line_end, TOO_LONG)
        if not self.buffer[start:line_end].strip(self.blanks + b"\r\n\x1a"):
            self.intake.other_lines += 1
            self.number += 1
            return line_end
        record = self.read(start)
        lines = self.lines(start, record.end)
        end, fault = self._fault(start, line_end, record, lines)
        if fault:
            return self._set_aside(start, end, fault)
        if self._is_header(record.values):
            say(f"{self.source.name}:{self.number}: the header again, passed over")
            self.intake.other_lines += lines
        else:
            self.intake.add(1, lines)
            fields = [_quoted(record.values[place]) for place in self.places]
            rows.append(self.separator.join(fields) + self.form.end.encode())
        self.number += lines
        return record.end

    def _fault(
        self, start: int, line_end: int, record: Record, lines: int
    ) -> tuple[int, str]:
        """Return what is wrong with a record, if so, and where that ends."""
        if record.fault:
            self.doubtful = max(self.doubtful, self.number + lines - 1)
            return line_end, record.fault
        if record.fields != self.width:
            alone = lines > 1 and self.reads_well(line_end, record.end)
            fault = f"{record.fields} fields, but the header has {self.width}"
            return line_end if alone else record.end, fault
        if lines > 1 and self._is_open(start, line_end, record):
            return line_end, "not CSV: a quote is not closed in this line"
        text = self.buffer[start : record.end]
        if lines == 1 and self.number <= self.doubtful:
            if not self._is_likely(text):
                fault = "may be the rest of a field whose quote is broken above"
                return line_end, fault
            self.doubtful = 0
        return record.end, self.source.fault(text)

    def _is_header(self, values: list[bytes]) -> bool:
        """Say whether a row is the header again, in capitals or not.

        Raises:
            FinetuneError: It is that of a file with another order of columns.
        """
        names = [value.removeprefix(BOM_UTF8).strip().lower() for value in values]
        wanted = [name.lower() for name in self.header]
        if names != wanted and len(names) > 1 and sorted(names) == sorted(wanted):
            raise self.source.error(
                "a header with the columns in another order: two files were joined; "
                "load each by itself",
                self.number,
            )
        return names == wanted

    def _is_open(self, start: int, line_end: int, record: Record) -> bool:
        """Say whether a row over many lines is one whose quote was left open."""
        end = record.end
        if record.stray and self.reads_well(line_end, end):
            return True
        if self._holds_rows(self.buffer[start:end]):
            return True
        if end == len(self.buffer) and not self.more():
            return False
        following = self.read(end)
        if following.fields == self.width or following.values == [b""]:
            return False
        return self.reads_well(line_end, end + 1)

    def _set_aside(self, start: int, end: int, fault: str) -> int:
        text = self.buffer[start : start + SHOWN_BYTES if fault == TOO_LONG else end]
        if fault != TOO_LONG:
            fault = self.source.fault(text) or fault
        lines = self.lines(start, end)
        self.intake.set_aside(self.source.name, self.number, fault, text, lines)
        self.number += lines
        return end


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b'"', b'""') if value else b""
