"""Rows out of JSON: an object a line, or one array of objects."""

import codecs
import json
import math
import re
import shlex
from collections.abc import Iterator

from exporter.errors import FinetuneError
from exporter.records import exact_json
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

# The expression for a plain line takes memory for each value of a list: 30 times
# the bytes of one of small numbers, so that longer lines go to the exact reader.
_PLAIN_BYTES = 1 << 17
# A text whose escapes are those of COPY, too, and any other.
_RAW = rb'[^"\\\x00-\x1f]*'
_TEXT = rb'%b(?:\\["\\/bfnrt]%b)*' % (_RAW, _RAW)
_STRING = rb'"%b(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})%b)*"' % (_RAW, _RAW)
_WHOLE = rb"(?:0|-?[1-9]\d*)"
_NUMBER = rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_BLANKS = rb"[ \t\r]*"
_COLON, _COMMA = (rb"%b%b%b" % (_BLANKS, mark, _BLANKS) for mark in (b":", b","))
_FIRST, _EMPTY = re.compile(r"\s*\[\s*"), re.compile(r"\s*\[\s*\]\s*\Z")
_NEXT, _END = re.compile(r"\s*,\s*"), re.compile(r"\s*\]\s*\Z")


def line_rows(
    source: Source, seen: Look, columns: Columns, intake: Intake
) -> Iterator[Block]:
    """Yield the rows of JSON Lines.

    A plain text of JSON is, byte by byte, one of COPY.
    """
    number = seen.first_line - 1
    form, plain = Form(()), re.compile(b"")
    while block := source.block():
        lines = block.split(source.end_of_line)
        if not lines[-1]:
            lines.pop()
        if not form.columns:
            order = sorted(columns.wanted(), key=lambda name: block.find(_key(name)))
            form, plain = Form(tuple(order)), _plain_line(order, columns.id)
        is_plain = len(block) <= _PLAIN_BYTES and is_utf8(block)
        rows = []
        for line in lines:
            number += 1
            found = plain.fullmatch(line) if is_plain else None
            if found:
                rows.append(b"\t".join(found.groups()))
                continue
            try:
                row = _row(line, source.name, columns, form)
            except ValueError as error:
                text = line.decode(errors="backslashreplace") + "\n"
                intake.set_aside(Reject(source.name, number, str(error), text))
                continue
            if row:
                rows.append(row)
            else:
                intake.other_lines += 1
        intake.add(len(rows))
        yield form, _joined(rows)


def array_rows(
    source: Source, seen: Look, columns: Columns, intake: Intake
) -> Iterator[Block]:
    """Yield the rows of one JSON array, whose elements are counted as its lines.

    Raises:
        FinetuneError: It is broken; what follows cannot be split into rows.
    """
    number = seen.first_line
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, place, ended = "", 0, False
    before, close = _FIRST, _EMPTY
    form = Form(tuple(columns.wanted()))
    rows: list[bytes] = []
    while True:
        gap = before.match(text, place)
        try:
            if gap is None:
                raise ValueError("',' or ']' is missing")  # noqa: TRY301
            value, end = exact_json.first(text, gap.end())
        except (ValueError, RecursionError) as error:
            closed = close.match(text, place)
            if ended and closed:
                break
            if ended or len(text) - place > MAX_LINE_BYTES:
                reason, line = str(error), number
                if isinstance(error, json.JSONDecodeError):
                    reason = error.msg
                    line += text.count("\n", place, error.pos)
                raise FinetuneError(
                    f"{source.name}:{line}: not a JSON array: {reason}; nothing was "
                    "loaded: fix it there, or write one object per line"
                ) from error
            piece = source.piece(len(text) - place)
            ended = not piece
            try:
                text, place = text[place:] + decoder.decode(piece, final=ended), 0
            except UnicodeDecodeError as wrong:
                reason = not_utf8(source.name, wrong)
                raise FinetuneError(f"{source.name}: {reason}") from wrong
            intake.add(len(rows))
            yield form, _joined(rows)
            rows = []
            continue
        number += text.count("\n", place, gap.end())
        try:
            rows.append(_fields(value, source.name, columns, form))
        except ValueError as error:
            bad = text[gap.end() : end] + "\n"
            intake.set_aside(Reject(source.name, number, str(error), bad))
        number += text.count("\n", gap.end(), end)
        place = end
        before, close = _NEXT, _END
    intake.add(len(rows))
    yield form, _joined(rows)


def _joined(rows: list[bytes]) -> bytes:
    return b"\n".join([*rows, b""])


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


def _row(line: bytes, name: str, columns: Columns, form: Form) -> bytes:
    """Return the row of a line, b"" for a blank one.

    Raises:
        ValueError: It holds no row.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(TOO_LONG)
    try:
        text = line.decode("utf-8-sig").strip(" \t\r\n\x1a\x1e")
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(name, error)) from error
    if not text:
        return b""
    try:
        # A comma after the object, as between elements of an array, is no doubt.
        value = exact_json.only(text[:-1] if text.endswith("},") else text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}: column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON: nested too deeply") from error
    return _fields(value, name, columns, form)


def _fields(value: object, name: str, columns: Columns, form: Form) -> bytes:
    if not isinstance(value, exact_json.Object):
        raise ValueError("not a JSON object")  # noqa: TRY004 - bad data
    fields = {}
    for column in columns.wanted():
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
        fields[column] = _field(values[0], column, name)
        if column == columns.id:
            fields[column] = fields[column] or _NULL
    return "\t".join(fields[column] for column in form.columns).encode()


def _field(value: object, column: str, name: str) -> str:
    """Return a text, a whole number or null as a field of COPY."""
    if value is None:
        return _NULL
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - bad data
            f"{column} is {_kind(value)}, but must be text or null; "
            f"{_remedy(value, column, name)}"
        )
    if "\0" in value:
        raise ValueError(f"{column} {HOLDS_NUL}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{column} holds half of a surrogate pair, which is no character"
        ) from error
    return value.translate(_ESCAPES)


def _kind(value: object) -> str:
    if isinstance(value, exact_json.Object):
        return "an object"
    kinds = {bool: "true or false", float: "a number with a fraction", list: "a list"}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or infinite"
    return kinds[type(value)]


def _remedy(value: object, column: str, name: str) -> str:
    """Return the command that makes a text of it."""
    key = (
        f".{column}"
        if re.fullmatch(r"[A-Za-z_]\w*", column, re.ASCII)
        else f'.["{column}"]'
    )
    if isinstance(value, exact_json.Object):
        change = f"{key} |= tojson"
    elif isinstance(value, list):
        change = f'{key} |= if type == "array" then join("\\n") else . end'
    elif isinstance(value, float) and not math.isfinite(value):
        return "write null there"
    else:
        change = f"{key} |= if . == null then . else tostring end"
    path = shlex.quote(name) if name != "standard input" else "FILE"
    return f"jq -c {shlex.quote(change)} {path} > NEW"
