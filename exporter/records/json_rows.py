"""Rows of JSON: an object a line, or one array of objects."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from exporter.records import exact_json
from exporter.records.input_file import InputFile
from exporter.records.named_file import NamedFile
from exporter.records.rows import (
    CONTAINS_NUL,
    HALF_A_PAIR,
    MAX_LINE_BYTES,
    SHOWN_BYTES,
    TOO_LONG,
    Block,
    Columns,
    CopyFormat,
    LoadStats,
    is_utf8,
)

# The values of a longer line are counted before it is decoded, as each takes memory.
_LONG_BYTES, _MAX_VALUES = 1 << 20, 300_000
_BATCH = 512
# The pattern of a plain line takes memory for each value of a list, 30 times the bytes
# of small numbers, so longer blocks are decoded.
_PLAIN_BYTES = 1 << 17
# A text whose escapes COPY has too, and a text with any escapes.
_RAW = rb'[^"\\\x00-\x1f]*'
_TEXT = rb'%b(?:\\["\\/bfnrt]%b)*' % (_RAW, _RAW)
_STRING = rb'"%b(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})%b)*"' % (_RAW, _RAW)
_WHOLE = rb"(?:0|-?[1-9]\d*)"
_NUMBER = rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NULL = rb"\N"
_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t"}
_BLANKS = rb"[ \t\r]*"
_COLON, _COMMA = (rb"%b%b%b" % (_BLANKS, mark, _BLANKS) for mark in (b":", b","))
# What precedes the first element of an array and each further one, and how an array
# without further elements ends there.
_FIRST, _EMPTY = re.compile(r"\s*\[\s*"), re.compile(r"\s*\[\s*\]\s*\Z")
_NEXT, _END = re.compile(r"\s*,\s*"), re.compile(r"\s*,?\s*\]\s*\Z")
_MORE_AFTER_END = re.compile(r"\s*\]\s*(\[?)")


def line_rows(file: InputFile, columns: Columns, stats: LoadStats) -> Iterator[Block]:
    """Yield the rows of JSON Lines.

    Most lines are not decoded: a JSON string whose escapes COPY has too consists of the
    same bytes in COPY's text format.
    """
    encoder, number, plain = _Encoder(file, columns, ()), 0, re.compile(b"")
    while block := file.read_lines():
        if not encoder.order:
            order = sorted(columns.names(), key=lambda n: block.find(_json_key(n)))
            encoder = _Encoder(file, columns, tuple(order))
            plain = _plain_line(order, columns.id)
        is_plain = len(block) <= _PLAIN_BYTES and is_utf8(block)
        rows = []
        lines = block.split(file.end_of_line)
        if not lines[-1]:
            lines.pop()
        for line in lines:
            number += 1
            found = plain.fullmatch(line) if is_plain else None
            if found:
                rows.append(b"\t".join(found.groups()))
                continue
            try:
                row = encoder.encode_line(line)
            except ValueError as error:
                too_long = len(line) > MAX_LINE_BYTES
                shown = line[:SHOWN_BYTES] if too_long else line + b"\n"
                stats.reject(file.name, number, str(error), shown)
                continue
            if row:
                rows.append(row)
            else:
                stats.skipped_lines += 1
        stats.add_rows(len(rows))
        yield CopyFormat(encoder.order), b"\n".join([*rows, b""])


def array_rows(file: InputFile, columns: Columns, stats: LoadStats) -> Iterator[Block]:
    """Yield the rows of one JSON array; its elements are counted as lines.

    Raises:
        FinetuneError: It is broken; what follows cannot be split into rows.
    """
    encoder = _Encoder(file, columns, (*columns.names(),), rows=".[] | ")
    elements = _elements(file)
    while batch := [*islice(elements, _BATCH)]:
        rows = []
        for number, text, value in batch:
            try:
                rows.append(encoder.encode(value))
            except ValueError as error:
                shown = f"{text}\n".encode(errors="surrogatepass")
                stats.reject(file.name, number, str(error), shown)
        stats.add_rows(len(rows))
        yield CopyFormat(encoder.order), b"\n".join([*rows, b""])


def _elements(file: InputFile) -> Iterator[tuple[int, str, object]]:
    """Yield line number, text and value of each element of an array."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, offset, number, ended = "", 0, 1, False
    separator, array_end = _FIRST, _EMPTY
    value: object = None
    while True:
        found = separator.match(text, offset)
        try:
            if found is None:
                raise ValueError("',' or ']' is missing")  # noqa: TRY301
            value, end = exact_json.raw_decode(text, found.end())
        except ValueError as error:
            if ended and array_end.match(text, offset):
                return
            if ended or len(text) - offset > MAX_LINE_BYTES:
                where = error.pos if isinstance(error, json.JSONDecodeError) else offset
                reason = getattr(error, "msg", str(error))
                more = _MORE_AFTER_END.match(text, offset)
                if more:
                    where, reason = more.end(), "text after its end"
                line = number + text.count("\n", offset, where)
                if more and more[1] and isinstance(value, exact_json.Object):
                    reason = f"several arrays; {file.jq('.[]')}"
                    raise file.error(reason, line) from error
                raise file.error(
                    f"not a JSON array: {reason}; nothing was loaded: fix it there, or "
                    "write one object per line",
                    line,
                ) from error
            # The element may go on in what was not read yet.
            data = file.read(len(text) - offset)
            ended = not data
            try:
                text, offset = text[offset:] + decoder.decode(data, final=ended), 0
            except UnicodeDecodeError as wrong:
                raise file.error(file.not_utf8(wrong)) from wrong
            continue
        number += text.count("\n", offset, found.end())
        yield number, text[found.end() : end], value
        number += text.count("\n", found.end(), end)
        offset = end
        separator, array_end = _NEXT, _END


def _json_key(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode()


def _plain_line(order: list[str], id_column: str | None) -> re.Pattern[bytes]:
    """Return the pattern of a line that has its keys in this order.

    Other keys may be between them, but no wanted key may appear twice. A line that does
    not match must be decoded. Matching takes time that grows linearly with the line.
    """
    other = rb"(?:%b|%b|true|false|null)" % (_STRING, _NUMBER)
    for _ in range(2):
        member = _STRING + _COLON + other
        many = rb"%b(?:%b(?:%b%b)*)?%b"
        items = many % (_BLANKS, other, _COMMA, other, _BLANKS)
        members = many % (_BLANKS, member, _COMMA, member, _BLANKS)
        other = rb"(?:%b|\[%b\]|\{%b\})" % (other, items, members)
    names = [re.escape(_json_key(name)) for name in order]
    member = rb'(?!%b)"%b"%b%b' % (b"|".join(names), _RAW, _COLON, other)
    # A text or a whole number, in one group, so that groups() is the row.
    value = rb'"?((?<=")%b(?=")|(?<!")%b(?!"))"?' % (_TEXT, _WHOLE)
    line = _BLANKS + rb"\{" + _BLANKS
    for index, name in enumerate(names):
        line += (_COMMA if index else b"") + rb"(?:%b%b)*" % (member, _COMMA)
        # An empty id is null.
        line += name + _COLON + (b'(?!"")' if order[index] == id_column else b"")
        line += value
    end = rb"(?:%b%b)*%b\}%b" % (_COMMA, member, _BLANKS, _BLANKS)
    return re.compile(line + end)


def refuse_oversized(line: bytes) -> None:
    """Refuse a line that would take too much memory.

    Raises:
        ValueError: It is longer than any row, or contains very many values.
    """
    if len(line) <= _LONG_BYTES:
        return
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(TOO_LONG)
    text = line.replace(rb"\\", b"").replace(rb"\"", b"")
    commas = (1 for found in re.finditer(rb'"[^"]*"|,', text) if found[0] == b",")
    if sum(islice(commas, _MAX_VALUES)) == _MAX_VALUES:
        raise ValueError(f"more than {_MAX_VALUES:,} values in a line")


class _Encoder(NamedTuple):
    """Encodes objects as rows in COPY's text format, or raises a ValueError."""

    file: NamedFile
    columns: Columns
    # The columns as they are sent.
    order: tuple[str, ...]
    # What precedes a jq program that changes a row.
    rows: str = ""

    def encode_line(self, line: bytes) -> bytes:
        """Return the row of a line, or b"" if the line is blank."""
        refuse_oversized(line)
        if fault := self.file.text_fault(line):
            raise ValueError(fault)
        text = line.decode().lstrip("\ufeff").strip(" \t\r\n\x1a\x1e")
        if not text:
            return b""
        try:
            # Allow a comma after the object, as between the elements of an array.
            value = exact_json.decode(text[:-1] if text.endswith("},") else text)
        except json.JSONDecodeError as error:
            reason = f"not JSON: {error.msg}: column {error.colno}"
            if error.msg == "Extra data" and error.pos and text[error.pos] in "{[":
                reason = f"several values in a line; {self.file.jq('.')}"
            raise ValueError(reason) from error
        except ValueError as error:
            raise ValueError(f"not JSON: {error}") from error
        return self.encode(value)

    def encode(self, value: object) -> bytes:
        """Return the row of a JSON value, which must be an object."""
        if not isinstance(value, exact_json.Object):
            raise ValueError("not a JSON object")  # noqa: TRY004 - bad data
        fields = []
        for column in self.order:
            values = [item for key, item in value if key == column]
            if not values:
                keys = [key for key, _ in value]
                raise ValueError(self._missing_key(column, keys))
            if len(values) > 1:
                raise ValueError(f"key {column!r} appears twice in the object")
            field = self._field(values[0], column)
            fields.append(field or (_NULL if column == self.columns.id else b""))
        return b"\t".join(fields)

    def _missing_key(self, column: str, keys: list[str]) -> str:
        """Return which keys an object has, and how to name or to add the others."""
        options = self.columns.missing_options(keys)
        message = (
            f"key {column!r} is missing; the object has "
            f"{', '.join(keys[:20]) or 'none'}: name yours with {options}"
        )
        alike = {key.strip().lower() for key in keys}
        if {*keys} & {*self.order} and column.lower() not in alike:
            nulls = dict.fromkeys(n for n in self.order if n not in keys)
            change = self.file.jq(f"{self.rows}{json.dumps(nulls)} + .")
            message += f", or if it is left out where it is null: {change}"
        return message

    def _field(self, value: object, column: str) -> bytes:
        """Return a text, a whole number or null as a field."""
        if value is None:
            return _NULL
        if not isinstance(value, str):
            raise ValueError(self._wrong_type(value, column))  # noqa: TRY004
        if "\0" in value:
            raise ValueError(f"{column} {CONTAINS_NUL}")
        try:
            field = value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{column} {HALF_A_PAIR}") from error
        for character, escape in _ESCAPES.items():
            field = field.replace(character, escape)
        return field

    def _wrong_type(self, value: object, column: str) -> str:
        """Return which type a value has, and the command that makes it a text."""
        simple = re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII)
        key = f".{column}" if simple else f".[{json.dumps(column)}]"
        must = "but must be text or null"
        if isinstance(value, float) and not math.isfinite(value):
            kind = "NaN or infinite"
            test, change = 'type == "number" and (isnan or isinfinite)', "null"
        elif isinstance(value, exact_json.Object):
            kind, test, change = "an object", 'type == "object"', "tojson"
        elif isinstance(value, list):
            kind, test = "a list", 'type == "array"'
            change = 'map(values | strings // tojson) | join("\\n")'
        else:
            boolean = isinstance(value, bool)
            kind = "true or false" if boolean else "a number with a fraction"
            test, change = ". != null", "tostring"
        change = f"{self.rows}{key} |= if {test} then {change} else . end"
        return f"{column} is {kind}, {must}; {self.file.jq(change)}"
