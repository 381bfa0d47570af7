"""Rows of CSV; a faulty line costs its own row and no other.

The patterns take time that grows linearly with the text, and no memory: they see a
doubled quote as one byte, a NUL, so that no group of them is repeated in a field.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice

from exporter.progress import say
from exporter.records.csv_header import Header, read_header
from exporter.records.csv_parser import CsvParser, Record
from exporter.records.input_file import BLOCK_BYTES, InputFile
from exporter.records.rows import (
    MAX_LINE_BYTES,
    SHOWN_BYTES,
    TOO_LONG,
    Block,
    Columns,
    CopyFormat,
    LoadStats,
    is_utf8,
)

# A field with at least this many lines that look like rows is not a text: a quote was
# left open, and some later quote closed it.
_ROWS_IN_A_FIELD = 3


def csv_rows(file: InputFile, columns: Columns, stats: LoadStats) -> Iterator[Block]:
    """Yield the rows of CSV.

    Raises:
        FinetuneError: The header lacks a column, or a different header follows.
    """
    reader = _CsvReader(file, columns, stats)
    while len(reader.buffer) >= BLOCK_BYTES or reader.read_more() or reader.buffer:
        yield reader.copy_format, reader.plain_block() or reader.parsed_block()


class _CsvReader(CsvParser):
    """Turns CSV into blocks of rows.

    Plain rows go to the server as they are, which takes a tenth of the time of the csv
    module. Other rows are parsed one by one: a quoted field of many lines is either a
    text or a quote that was left open. As few lines as possible are rejected.
    """

    def __init__(self, file: InputFile, columns: Columns, stats: LoadStats) -> None:
        header = read_header(file, columns, stats)
        super().__init__(file, header)
        self.stats = stats
        self.number = header.first_line
        self.header = [name.encode() for name in header.columns]
        # The columns to load, by their index.
        self.wanted = sorted(map(header.columns.index, columns.names()))
        loaded = tuple(header.columns[index] for index in self.wanted)
        self.copy_format = CopyFormat(loaded, header.separator, header.row_end)
        # Up to this line, what looks like a row may be the rest of a broken text.
        self.suspect_until = 0
        self._compile(header, {header.columns[0], *columns.names()})

    def _compile(self, header: Header, names: set[str]) -> None:
        s, q = re.escape(self.separator), self.quote
        row_end = self.copy_format.row_end.encode()
        blanks = b"" if header.spaced else self.blanks
        field, most = rb'(?:[^"\0%b\r\n]+|\0*(?:"[^"]*")?)' % s, self.width - 1
        row = rb"(?:%b%b){%d}%b%b" % (field, s, most, field, row_end)
        self._plain_rows = re.compile(rb"(%b)*" % row)
        text = rb"[^%b\0%b%b\r\n][^%b\r\n]*" % (q, s, blanks, s)
        field = rb"(?:%b|\0*(?:%b[^%b]*%b)?)" % (text, q, q, q)
        row = rb"(?:%b%b){%d}%b%b" % (field, s, most, field, self.row_end)
        self._likely_row = re.compile(row)
        self._line = re.compile(rb"[^%b]*%b" % (self.line_end, self.line_end))
        # The wanted fields of a plain row, with their quotes.
        field = rb'(?:"[^"]*(?:""[^"]*)*"|[^"%b\r\n]*)' % s
        before = [-1, *self.wanted]
        row = s.join(
            rb"(?:%b%b){%d}(%b)" % (field, s, index - last - 1, field)
            for last, index in zip(before, self.wanted, strict=False)
        )
        row += rb"(?:%b%b){%d}" % (s, field, most - before[-1])
        self._wanted_fields = re.compile(row + row_end)
        # A line that begins with a column name, after another line.
        name = b"|".join(re.escape(name.encode()) for name in names)
        repeated = rb"%b(?:%b)?[ \t]*%b?(?:%b)%b?[ \t]*%b"
        repeated %= self.line_end, BOM_UTF8, q, name, q, s
        self._repeated_header = re.compile(repeated, re.IGNORECASE)

    def plain_block(self) -> bytes:
        """Return the next plain rows as they are; b"" if the first must be parsed.

        The last one stays in the buffer, to be parsed with what follows.
        """
        # Blocks of bounded length, because the pattern of the fields takes memory.
        end = self.buffer.rfind(self.line_end, 0, 2 * BLOCK_BYTES) + 1
        block = self.buffer[:end]
        if self.quote != b'"' or self.number <= self.suspect_until:
            return b""
        if b"\0" in block or not is_utf8(block):
            return b""
        text = block.replace(b'""', b"\0")
        found = self._plain_rows.match(text)
        end = max(0, found.start(1)) if found else 0
        if found and self.ended and found.end() == len(text):
            # Nothing follows, unless the last line has no end.
            end = found.end() if len(block) == len(self.buffer) else end
        spans = text[:end].split(b'"')
        rows = b"".join(spans[::2]).count(self.line_end)
        block = block[: end + text.count(b"\0", 0, end)]
        lines = block.count(self.line_end)
        if self._repeated_header.search(self.line_end + block):
            return b""
        multiline = lines > rows + _ROWS_IN_A_FIELD
        if multiline and any(map(self._contains_rows, spans[1::2])):
            return b""
        self.buffer = self.buffer[len(block) :]
        self.stats.add_rows(rows, lines)
        self.number += lines
        if len(self.wanted) < self.width:
            fields = map(self.separator.join, self._wanted_fields.findall(block))
            return self.copy_format.row_end.encode().join([*fields, b""])
        return block

    def _contains_rows(self, text: bytes) -> bool:
        """Return whether all lines of a text but the outer ones look like rows."""
        if text.count(self.line_end) <= _ROWS_IN_A_FIELD:
            return False
        lines = islice(self._line.finditer(text), 1, None)
        return all(self._looks_like_row(line[0]) for line in lines)

    def _looks_like_row(self, line: bytes) -> bool:
        """Return whether a line is likely a row, not a sentence with commas."""
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        return bool(self._likely_row.fullmatch(line.replace(self.quote * 2, b"\0")))

    def parsed_block(self) -> bytes:
        """Parse the next lines one by one and return their rows, or b"" if none."""
        rows: list[bytes] = []
        offset, target = 0, min(len(self.buffer), BLOCK_BYTES)
        while offset < target:
            offset = self._read_row(offset, rows)
        self.buffer = self.buffer[offset:]
        return b"".join(rows)

    def _read_row(self, start: int, rows: list[bytes]) -> int:
        """Add a row, or reject or skip a line; return where the next one begins."""
        line_end = self.end_of_line(start)
        if line_end - start > MAX_LINE_BYTES:
            return self._reject(start, line_end, TOO_LONG)
        if not self.buffer[start:line_end].strip(self.blanks + b"\r\n\x1a"):
            self.stats.skipped_lines += 1
            self.number += 1
            return line_end
        record = self.parse(start)
        lines = self.count_lines(start, record.end)
        end, fault = self._find_fault(start, line_end, record, lines)
        if fault:
            return self._reject(start, end, fault)
        if self._is_header(record.values):
            say(f"{self.file.name}:{self.number}: skipped a repeated header")
            self.stats.skipped_lines += lines
        else:
            self.stats.add_rows(1, lines)
            fields = [_quoted(record.values[index]) for index in self.wanted]
            row_end = self.copy_format.row_end.encode()
            rows.append(self.separator.join(fields) + row_end)
        self.number += lines
        return record.end

    def _find_fault(
        self, start: int, line_end: int, record: Record, lines: int
    ) -> tuple[int, str]:
        """Return where a faulty record ends and what is wrong, or "" if nothing is."""
        if record.fault:
            self.suspect_until = max(self.suspect_until, self.number + lines - 1)
            return line_end, record.fault
        if record.field_count != self.width:
            alone = lines > 1 and self.parses_without_fault(line_end, record.end)
            fault = f"{record.field_count} fields, but the header has {self.width}"
            return line_end if alone else record.end, fault
        if lines > 1 and self._has_open_quote(start, line_end, record):
            return line_end, "not CSV: a quote is not closed in this line"
        text = self.buffer[start : record.end]
        if lines == 1 and self.number <= self.suspect_until:
            if not self._looks_like_row(text):
                fault = "may be the rest of a field whose quote is broken above"
                return line_end, fault
            self.suspect_until = 0
        return record.end, self.file.text_fault(text)

    def _is_header(self, values: list[bytes]) -> bool:
        """Return whether a row repeats the header, in upper or lower case.

        Raises:
            FinetuneError: It is a header with the columns in another order.
        """
        names = [value.removeprefix(BOM_UTF8).strip().lower() for value in values]
        wanted = [name.lower() for name in self.header]
        if names != wanted and len(names) > 1 and sorted(names) == sorted(wanted):
            raise self.file.error(
                "a header with the columns in another order: two files were joined; "
                "load each by itself",
                self.number,
            )
        return names == wanted

    def _has_open_quote(self, start: int, line_end: int, record: Record) -> bool:
        """Return whether a row of many lines exists because a quote was left open."""
        end = record.end
        if record.stray_quote and self.parses_without_fault(line_end, end):
            return True
        if self._contains_rows(self.buffer[start:end]):
            return True
        if end == len(self.buffer) and not self.read_more():
            return False
        following = self.parse(end)
        if following.field_count == self.width or following.values == [b""]:
            return False
        return self.parses_without_fault(line_end, end + 1)

    def _reject(self, start: int, end: int, fault: str) -> int:
        text = self.buffer[start : start + SHOWN_BYTES if fault == TOO_LONG else end]
        if fault != TOO_LONG:
            fault = self.file.text_fault(text) or fault
        lines = self.count_lines(start, end)
        self.stats.reject(self.file.name, self.number, fault, text, lines)
        self.number += lines
        return end


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b'"', b'""') if value else b""
