"""Rows out of JSON: an object a line, or one array of objects."""

import codecs
import json
import math
import re
import shlex
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

import orjson

from exporter.errors import FinetuneError
from exporter.records import exact_json
from exporter.records.look import Look, not_utf8
from exporter.records.rows import (
    HOLDS_NUL,
    MAX_LINE_BYTES,
    SEPARATOR,
    TOO_LONG,
    Columns,
    Intake,
    Reject,
)
from exporter.records.source import Source

_KEY = re.compile(rb'"([^"]*)"\s*:')
_BETWEEN = SEPARATOR.decode()
_FIRST, _EMPTY = re.compile(r"\s*\[\s*"), re.compile(r"\s*\[\s*\]\s*\Z")
_NEXT, _END = re.compile(r"\s*,\s*"), re.compile(r"\s*\]\s*\Z")


def line_rows(
    source: Source, seen: Look, columns: Columns, intake: Intake
) -> Iterator[bytes]:
    """Yield the rows of JSON Lines."""
    number = seen.first_line
    pick = itemgetter(columns.id or columns.title, columns.title, columns.content)
    names = [orjson.dumps(name) for name in columns.wanted()]
    while block := source.block():
        lines = block.split(source.end_of_line)
        if not lines[-1]:
            lines.pop()
        # Where each name stands once a line, no line has a key twice.
        plain = all(block.count(name) == len(lines) for name in names)
        plain = plain and b"\\u0000" not in block and not _escapes_in_keys(block)
        plain = plain and len(block) < MAX_LINE_BYTES
        rows = []
        for line in lines:
            row = _plain_row(line, pick, columns.id) if plain else None
            if row is None:
                try:
                    row = _row(line, source.name, columns)
                except ValueError as error:
                    text = line.decode(errors="backslashreplace") + "\n"
                    intake.set_aside(Reject(source.name, number, str(error), text))
            if row:
                rows.append(row)
            elif row == "":
                intake.other_lines += 1
            number += 1
        intake.add(len(rows))
        yield "".join(rows).encode()


def array_rows(
    source: Source, seen: Look, columns: Columns, intake: Intake
) -> Iterator[bytes]:
    """Yield the rows of one JSON array, whose elements are counted as its lines.

    Raises:
        FinetuneError: It is broken; what follows cannot be split into rows.
    """
    number = seen.first_line
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, place, ended = "", 0, False
    before, close = _FIRST, _EMPTY
    rows: list[str] = []
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
            yield "".join(rows).encode()
            rows = []
            continue
        number += text.count("\n", place, gap.end())
        try:
            rows.append(_csv(value, source.name, columns))
        except ValueError as error:
            bad = text[gap.end() : end] + "\n"
            intake.set_aside(Reject(source.name, number, str(error), bad))
        number += text.count("\n", gap.end(), end)
        place = end
        before, close = _NEXT, _END
    intake.add(len(rows))
    yield "".join(rows).encode()


def _plain_row(  # noqa: PLR0911 - a form each
    line: bytes, pick: Callable[[Any], Any], id_column: str | None
) -> str | None:
    """Return the row of a line as CSV; None if it wants a closer look."""
    try:
        uid, title, content = pick(orjson.loads(line))
    except (ValueError, KeyError, TypeError):
        return None
    if type(title) is not str or type(content) is not str:
        return None
    title = title.replace('"', '""')
    content = content.replace('"', '""')
    if id_column is None:
        return f'"{title}"\x1f"{content}"\n'
    if type(uid) is int:
        return f'{uid}\x1f"{title}"\x1f"{content}"\n'
    if uid is None or uid == "":
        return f'\x1f"{title}"\x1f"{content}"\n'
    if type(uid) is not str:
        return None
    if '"' in uid:
        uid = uid.replace('"', '""')
    return f'"{uid}"\x1f"{title}"\x1f"{content}"\n'


def _row(line: bytes, name: str, columns: Columns) -> str:
    """Return the row of a line as CSV, "" for a blank one.

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
        return ""
    try:
        # A comma after the object, as between elements of an array, is no doubt.
        value = exact_json.only(text[:-1] if text.endswith("},") else text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg}: column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("not JSON: nested too deeply") from error
    return _csv(value, name, columns)


def _csv(value: object, name: str, columns: Columns) -> str:
    if not isinstance(value, exact_json.Object):
        raise ValueError("not a JSON object")  # noqa: TRY004 - bad data
    fields = []
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
        fields.append(_field(values[0], column, name))
    if columns.id is not None and fields[0] == '""':
        fields[0] = ""
    return _BETWEEN.join(fields) + "\n"


def _field(value: object, column: str, name: str) -> str:
    """Return a text, a whole number or null as a field of CSV."""
    if value is None:
        return ""
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
    return '"' + value.replace('"', '""') + '"'


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


def _escapes_in_keys(block: bytes) -> bool:
    """Say whether a key may be spelled with a backslash."""
    return b"\\u" in block and any(b"\\u" in key for key in _KEY.findall(block))
