"""Records of CSV, read field by field in memory that grows with the longest one."""

import re
from typing import NamedTuple

from exporter.records.csv_header import Header
from exporter.records.rows import MAX_LINE_BYTES
from exporter.records.source import Source


class Record(NamedTuple):
    """Where a row or a faulty line ends; its values, or what is wrong."""

    end: int
    values: list[bytes]
    # How many fields there are; no more values than the header has are kept.
    fields: int = 0
    # Whether a quote stands in a field without quotes around it.
    stray: bool = False
    fault: str = ""


class Records:
    """What was read of CSV, and not yet taken."""

    def __init__(self, source: Source, header: Header) -> None:
        self.source = source
        self.width = len(header.columns)
        self.separator = header.separator.encode()
        self.quote = header.quote.encode()
        self.line_end = source.end_of_line
        # Blanks around a quoted field are no text of it.
        self.blanks = b" " if header.separator == "\t" else b" \t"
        # How a row ends, in a pattern.
        self.end = rb"(?:\r*\n|\Z)" if self.line_end == b"\n" else rb"(?:\r|\Z)"
        self.buffer = b""
        self.ended = False
        separator = re.escape(self.separator)
        self._opening = re.compile(rb"[%b]*%b" % (self.blanks, self.quote))
        self._bare = re.compile(rb"[^%b\r\n]*" % separator)
        after = rb"[%b]*(%b|%b)" % (self.blanks, separator, self.end)
        self._after = re.compile(after)

    def more(self) -> bool:
        """Read more; return whether there was any."""
        block = b"" if self.ended else self.source.block()
        self.ended = not block
        self.buffer += block
        return not self.ended

    def read(self, start: int) -> Record:
        """Read a row of any length, in more of the file if it goes on there."""
        values: list[bytes] = []
        place, count, stray = start, 0, False
        while True:
            opening = self._opening.match(self.buffer, place)
            if opening:
                first, last = opening.end(), self._closing(opening.end())
                if last < 0:
                    fault = "not CSV: a quote is never closed"
                    return Record(len(self.buffer), [], fault=fault)
                value = self.buffer[first:last].replace(self.quote * 2, self.quote)
                place = last + 1
            else:
                value = self._bare.match(self.buffer, place)[0]  # type: ignore[index]
                place += len(value)
                stray = stray or self.quote in value
            if count < self.width:
                values.append(value)
            count += 1
            after = self._after.match(self.buffer, place)
            if not after:
                fault = "a carriage return in a field without quotes"
                if opening:
                    fault = "text after a closing quote"
                return Record(self.end_of_line(place), [], fault=f"not CSV: {fault}")
            place = after.end()
            if after[1] != self.separator:
                return Record(place, values, count, stray)

    def _closing(self, start: int) -> int:
        """Return where the quote stands that closes a field, reading on; or -1."""
        place = start
        while True:
            found = self.buffer.find(self.quote, place)
            if found < 0:
                place = len(self.buffer)
                if place - start > MAX_LINE_BYTES or not self.more():
                    return -1
            elif self.buffer[found + 1 : found + 2] != self.quote:
                return found
            else:
                place = found + 2

    def reads_well(self, place: int, end: int) -> bool:
        """Say whether rows without a fault go on until there."""
        while place < end and place < len(self.buffer):
            record = self.read(place)
            blank = record.values == [b""]
            if record.fields != self.width and not blank:
                return False
            place = record.end
        return place >= end

    def end_of_line(self, place: int) -> int:
        """Return where the line ends that this place is in."""
        end = self.buffer.find(self.line_end, place) + 1
        return end or len(self.buffer)

    def lines(self, start: int, end: int) -> int:
        """Return how many lines stand there; the last may have no end."""
        lines = self.buffer.count(self.line_end, start, end)
        return lines + (not self.buffer.endswith(self.line_end, start, end))
