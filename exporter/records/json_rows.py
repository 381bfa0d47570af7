"""Rows out of JSON: an object a line, or one array of objects."""

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import islice

from exporter.records import exact_json
from exporter.records.rows import (
    HOLDS_NUL,
    MAX_LINE_BYTES,
    SHOWN_BYTES,
    TOO_LONG,
    Block,
    Columns,
    Form,
    Intake,
    is_utf8,
)
from exporter.records.source import Source

# Of a longer line the values are counted before they take memory.
_LONG_BYTES, _MOST_VALUES = 1 << 20, 300_000
_BATCH = 512
# The expression for a plain line takes memory for each value of a list: 30 times
# the bytes of one of small numbers, so that longer lines go to the exact reader.
_PLAIN_BYTES = 1 << 17
# A text whose escapes are those of COPY, too, and any other.
_RAW = rb'[^"\\\x00-\x1f]*'
_TEXT = rb'%b(?:\\["\\/bfnrt]%b)*' % (_RAW, _RAW)
_STRING = rb'"%b(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})%b)*"' % (_RAW, _RAW)
_WHOLE = rb"(?:0|-?[1-9]\d*)"
_NUMBER = rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NULL = rb"\N"
_ESCAPES = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t"}
_BLANKS = rb"[ \t\r]*"
_COLON, _COMMA = (rb"%b%b%b" % (_BLANKS, mark, _BLANKS) for mark in (b":", b","))
_FIRST, _EMPTY = re.compile(r"\s*\[\s*"), re.compile(r"\s*\[\s*\]\s*\Z")
_NEXT, _END = re.compile(r"\s*,\s*"), re.compile(r"\s*\]\s*\Z")


def line_rows(source: Source, columns: Columns, intake: Intake) -> Iterator[Block]:
    """Yield the rows of JSON Lines.

    A plain text of JSON is, byte by byte, one of COPY.
    """
    form, number, plain = Form(()), 0, re.compile(b"")
    while block := source.block():
        if not form.columns:
            order = sorted(columns.wanted(), key=lambda name: block.find(_key(name)))
            form, plain = Form(tuple(order)), _plain_line(order, columns.id)
        is_plain = len(block) <= _PLAIN_BYTES and is_utf8(block)
        rows = []
        lines = block.split(source.end_of_line)
        if not lines[-1]:
            lines.pop()
        for line in lines:
            number += 1
            found = plain.fullmatch(line) if is_plain else None
            if found:
                rows.append(b"\t".join(found.groups()))
                continue
            try:
                row = _row(line, source, columns, form)
            except ValueError as error:
                long = len(line) > MAX_LINE_BYTES
                bad = line[:SHOWN_BYTES] if long else line + b"\n"
                intake.set_aside(source.name, number, str(error), bad)
                continue
            if row:
                rows.append(row)
            else:
                intake.other_lines += 1
        intake.add(len(rows))
        yield form, b"\n".join([*rows, b""])


def array_rows(source: Source, columns: Columns, intake: Intake) -> Iterator[Block]:
    """Yield the rows of one JSON array, whose elements are counted as its lines.

    Raises:
        FinetuneError: It is broken; what follows cannot be split into rows.
    """
    form, elements = Form(tuple(columns.wanted())), _elements(source)
    while batch := [*islice(elements, _BATCH)]:
        rows = []
        for number, text, value in batch:
            try:
                rows.append(_exact_row(value, source, columns, form))
            except ValueError as error:
                bad = f"{text}\n".encode(errors="surrogatepass")
                intake.set_aside(source.name, number, str(error), bad)
        intake.add(len(rows))
        yield form, b"\n".join([*rows, b""])


def _elements(source: Source) -> Iterator[tuple[int, str, object]]:
    """Yield line, text and value of each element of an array."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, place, number, ended = "", 0, 1, False
    before, close = _FIRST, _EMPTY
    while True:
        gap = before.match(text, place)
        try:
            if gap is None:
                raise ValueError("',' or ']' is missing")  # noqa: TRY301
            value, end = exact_json.first(text, gap.end())
        except ValueError as error:
            if ended and close.match(text, place):
                return
            if ended or len(text) - place > MAX_LINE_BYTES:
                reason, line = str(error), number
                if isinstance(error, json.JSONDecodeError):
                    reason = error.msg
                    line += text.count("\n", place, error.pos)
                raise source.error(
                    f"not a JSON array: {reason}; nothing was loaded: fix it there, or "
                    "write one object per line",
                    line,
                ) from error
            piece = source.piece(len(text) - place)
            ended = not piece
            try:
                text, place = text[place:] + decoder.decode(piece, final=ended), 0
            except UnicodeDecodeError as wrong:
                raise source.error(source.not_utf8(wrong)) from wrong
            continue
        number += text.count("\n", place, gap.end())
        yield number, text[gap.end() : end], value
        number += text.count("\n", gap.end(), end)
        place = end
        before, close = _NEXT, _END


def _key(name: str) -> bytes:
    return json.dumps(name, ensure_ascii=False).encode()


def _plain_line(order: list[str], id_column: str | None) -> re.Pattern[bytes]:
    """Return what finds the values of a line whose keys stand in this order.

    Other keys may stand between them, none of the wanted ones twice. A line that it
    does not take wants a closer look. It takes time that grows linearly.
    """
    other = rb"(?:%b|%b|true|false|null)" % (_STRING, _NUMBER)
    for _ in range(2):
        member = _STRING + _COLON + other
        many = rb"%b(?:%b(?:%b%b)*)?%b"
        items = many % (_BLANKS, other, _COMMA, other, _BLANKS)
        members = many % (_BLANKS, member, _COMMA, member, _BLANKS)
        other = rb"(?:%b|\[%b\]|\{%b\})" % (other, items, members)
    names = [re.escape(_key(name)) for name in order]
    member = rb'(?!%b)"%b"%b%b' % (b"|".join(names), _RAW, _COLON, other)
    # One group, so that the values need no choosing: a text, or a whole number.
    value = rb'"?((?<=")%b(?=")|(?<!")%b(?!"))"?' % (_TEXT, _WHOLE)
    line = _BLANKS + rb"\{" + _BLANKS
    for place, name in enumerate(names):
        line += (_COMMA if place else b"") + rb"(?:%b%b)*" % (member, _COMMA)
        # An empty id is null.
        line += name + _COLON + (b'(?!"")' if order[place] == id_column else b"")
        line += value
    end = rb"(?:%b%b)*%b\}%b" % (_COMMA, member, _BLANKS, _BLANKS)
    return re.compile(line + end)


def refuse_long(line: bytes) -> None:
    """Refuse a line that would take too much memory.

    Raises:
        ValueError: It is longer than any row, or holds very many values.
    """
    if len(line) <= _LONG_BYTES:
        return
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(TOO_LONG)
    text = line.replace(rb"\\", b"").replace(rb"\"", b"")
    commas = (1 for found in re.finditer(rb'"[^"]*"|,', text) if found[0] == b",")
    if sum(islice(commas, _MOST_VALUES)) == _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES:,} values in a line")


def _row(line: bytes, source: Source, columns: Columns, form: Form) -> bytes:
    """Return the row of a line, b"" for a blank one.

    Raises:
        ValueError: It holds no row.
    """
    refuse_long(line)
    if fault := source.fault(line):
        raise ValueError(fault)
    text = line.decode().lstrip("\ufeff").strip(" \t\r\n\x1a\x1e")
    if not text:
        return b""
    try:
        # A comma after the object, as between elements of an array, is no doubt.
        value = exact_json.only(text[:-1] if text.endswith("},") else text)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg}: column {error.colno}"
        if error.msg == "Extra data" and error.pos and text[error.pos] in "{[":
            reason = f"several values in a line; {source.jq('.')}"
        raise ValueError(reason) from error
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    return _exact_row(value, source, columns, form)


def _exact_row(value: object, source: Source, columns: Columns, form: Form) -> bytes:
    if not isinstance(value, exact_json.Object):
        raise ValueError("not a JSON object")  # noqa: TRY004 - bad data
    fields = []
    for column in form.columns:
        values = [item for key, item in value if key == column]
        if not values:
            keys = [key for key, _ in value]
            raise ValueError(
                f"key {column!r} is missing; the object has "
                f"{', '.join(keys[:20]) or 'none'}: name yours with "
                f"{columns.options(keys)}"
            )
        if len(values) > 1:
            raise ValueError(f"key {column!r} stands twice in the object")
        field = _field(values[0], column, source)
        fields.append(field or (_NULL if column == columns.id else b""))
    return b"\t".join(fields)


def _field(value: object, column: str, source: Source) -> bytes:
    """Return a text, a whole number or null as a field of COPY."""
    if value is None:
        return _NULL
    if not isinstance(value, str):
        raise ValueError(_wrong_type(value, column, source))  # noqa: TRY004
    if "\0" in value:
        raise ValueError(f"{column} {HOLDS_NUL}")
    try:
        field = value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{column} holds half of a surrogate pair, which is no character"
        ) from error
    for character, escape in _ESCAPES.items():
        field = field.replace(character, escape)
    return field


def _wrong_type(value: object, column: str, source: Source) -> str:
    """Return what a value is, and the command that makes a text of it."""
    simple = re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII)
    key = f".{column}" if simple else f'.["{column}"]'
    must = "but must be text or null"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{column} is NaN or infinite, {must}; write null there"
    if isinstance(value, exact_json.Object):
        kind, change = "an object", f"{key} |= tojson"
    elif isinstance(value, list):
        kind = "a list"
        change = f'{key} |= if type == "array" then join("\\n") else . end'
    else:
        kind = (
            "true or false" if isinstance(value, bool) else "a number with a fraction"
        )
        change = f"{key} |= if . == null then . else tostring end"
    return f"{column} is {kind}, {must}; {source.jq(change)}"
