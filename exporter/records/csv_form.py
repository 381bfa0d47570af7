"""The forms that a row of CSV may have, as regular expressions.

All of them take time that grows linearly with the text: no two parts of one can
begin with the same byte.
"""

import re
from collections.abc import Iterable, Sequence


class CsvForm:
    """Patterns for one separator, quote and end of line."""

    def __init__(self, separator: str, quote: str, end_of_line: bytes) -> None:
        self.between = separator.encode()
        self.quote = quote.encode()
        self.end = rb"(?:\r?\n|\Z)" if end_of_line == b"\n" else rb"(?:\r|\Z)"
        # Blanks around a quoted field are no text of it.
        self.blanks = b" " if separator == "\t" else b" \t"
        s, q, b = re.escape(self.between), self.quote, self.blanks
        self._inner = rb"%b[^%b]*(?:%b%b[^%b]*)*" % (q, q, q, q, q)
        self._quoted = self._inner + q
        self._plain = rb"[^%b%b\r\n]*" % (q, s)
        self._sure = rb"(?:[^%b%b%b\r\n][^%b%b\r\n]*)?" % (q, s, b, q, s)
        self._stray = rb"(?:[^%b%b%b\r\n][^%b\r\n]*)?" % (q, s, b, s)
        free = rb"[%b]*%b[%b]*|(?![%b]*%b)[^%b\r\n]*" % (b, self._quoted, b, b, q, s)
        start = rb"(?:(?:%b)%b)*" % (free, s)
        # A row of any length, with blanks around quotes and quotes within text.
        self.any_row = re.compile(start + rb"(?:%b)%b" % (free, self.end))
        self.open_row = re.compile(start + rb"[%b]*%b\Z" % (b, self._inner))
        self.torn_row = re.compile(start + rb"[%b]*%b" % (b, self._quoted))
        self.fields = re.compile(rb"(%b)%b" % (free, s))

    def plain_row(self, places: Sequence[int], width: int, end: str) -> bytes:
        """Return what takes a row with that end; the fields at places are groups."""
        one = rb"(?:%b|%b)" % (self._quoted, self._plain)
        fields = [b"(%b)" % one if place in places else one for place in range(width)]
        return re.escape(self.between).join(fields) + end.encode()

    def header_again(
        self, names: Iterable[str], end_of_line: bytes
    ) -> re.Pattern[bytes]:
        """Return what finds a line, after another, that begins with a name."""
        either = b"|".join(re.escape(name.encode()) for name in names)
        line = rb"%b[ \t]*%b?(?:%b)%b?[ \t]*%b"
        s, q = re.escape(self.between), self.quote
        return re.compile(line % (end_of_line, q, either, q, s), re.IGNORECASE)

    def sure_rows(self, width: int, *, spaced: bool) -> re.Pattern[bytes]:
        """Return what takes rows beyond doubt, as many as there are."""
        plain = self._plain if spaced else self._sure
        return re.compile(rb"(?:%b|\r?\n)*" % self._row(width, plain))

    def likely_row(self, width: int, *, spaced: bool) -> re.Pattern[bytes]:
        """Return what takes a row that is no sentence with commas."""
        s, q = re.escape(self.between), self.quote
        plain = rb"(?:[^%b%b\r\n][^%b\r\n]*)?" % (q, s, s) if spaced else self._stray
        return re.compile(self._row(width, plain))

    def _row(self, width: int, plain: bytes) -> bytes:
        field = rb"(?:%b|%b)" % (self._quoted, plain)
        return re.escape(self.between).join([field] * width) + self.end

    def split(self, row: bytes) -> list[bytes]:
        """Return the values of a row that `any_row` took."""
        values = []
        for field in self.fields.findall(row.rstrip(b"\r\n") + self.between):
            bare = field.strip(self.blanks)
            if bare[:1] == self.quote:
                values.append(bare[1:-1].replace(self.quote * 2, self.quote))
            else:
                values.append(field)
        return values
