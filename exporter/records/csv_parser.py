"""A parser of CSV that uses as much memory as the longest row needs."""

import re
from typing import NamedTuple

from exporter.records.csv_header import Header
from exporter.records.input_file import InputFile
from exporter.records.rows import MAX_LINE_BYTES


class Record(NamedTuple):
    """A parsed row: where it ends in the buffer, and its values or its fault."""

    end: int
    # At most as many as the header has columns.
    values: list[bytes]
    field_count: int = 0
    # Whether a field without quotes around it contains a quote.
    stray_quote: bool = False
    fault: str = ""


class CsvParser:
    """A buffer of CSV, filled from a file; rows are parsed at an offset in it."""

    def __init__(self, file: InputFile, header: Header) -> None:
        self.file = file
        self.width = len(header.columns)
        self.separator = header.separator.encode()
        self.quote = header.quote.encode()
        self.line_end = file.end_of_line
        # Blanks around the quotes of a field do not belong to its text.
        self.blanks = b" " if header.separator == "\t" else b" \t"
        self.row_end = rb"(?:\r*\n|\Z)" if self.line_end == b"\n" else rb"(?:\r|\Z)"
        self.buffer = b""
        self.ended = False
        separator = re.escape(self.separator)
        self._opening_quote = re.compile(rb"[%b]*%b" % (self.blanks, self.quote))
        self._unquoted = re.compile(rb"[^%b\r\n]*" % separator)
        field_end = rb"[%b]*(%b|%b)" % (self.blanks, separator, self.row_end)
        self._field_end = re.compile(field_end)

    def read_more(self) -> bool:
        """Add lines of the file to the buffer; return whether there were any."""
        block = b"" if self.ended else self.file.read_lines()
        self.ended = not block
        self.buffer += block
        return not self.ended

    def parse(self, start: int) -> Record:
        """Parse the row at an offset, and read more of the file if it goes on there."""
        values: list[bytes] = []
        offset, count, stray = start, 0, False
        while True:
            opening = self._opening_quote.match(self.buffer, offset)
            if opening:
                first, last = opening.end(), self._closing_quote(opening.end())
                if last < 0:
                    fault = "not CSV: a quote is never closed"
                    return Record(len(self.buffer), [], fault=fault)
                value = self.buffer[first:last].replace(self.quote * 2, self.quote)
                offset = last + 1
            else:
                value = self._unquoted.match(self.buffer, offset)[0]  # type: ignore[index]
                offset += len(value)
                stray = stray or self.quote in value
            if count < self.width:
                values.append(value)
            count += 1
            end = self._field_end.match(self.buffer, offset)
            if not end:
                fault = "a carriage return in a field without quotes"
                if opening:
                    fault = "text after a closing quote"
                return Record(self.end_of_line(offset), [], fault=f"not CSV: {fault}")
            offset = end.end()
            if end[1] != self.separator:
                return Record(offset, values, count, stray)

    def _closing_quote(self, start: int) -> int:
        """Return the offset of the quote that closes a field, or -1."""
        offset = start
        while True:
            found = self.buffer.find(self.quote, offset)
            if found < 0:
                offset = len(self.buffer)
                if offset - start > MAX_LINE_BYTES or not self.read_more():
                    return -1
            elif self.buffer[found + 1 : found + 2] != self.quote:
                return found
            else:
                offset = found + 2

    def parses_without_fault(self, start: int, end: int) -> bool:
        """Return whether only good rows and blank lines follow, up to `end`."""
        while start < end and start < len(self.buffer):
            record = self.parse(start)
            if record.field_count != self.width and record.values != [b""]:
                return False
            start = record.end
        return start >= end

    def end_of_line(self, offset: int) -> int:
        """Return where the line at an offset ends."""
        end = self.buffer.find(self.line_end, offset) + 1
        return end or len(self.buffer)

    def count_lines(self, start: int, end: int) -> int:
        """Return how many lines there are between; the last may have no end."""
        lines = self.buffer.count(self.line_end, start, end)
        return lines + (not self.buffer.endswith(self.line_end, start, end))
