"""One line of a chat file and the rules it breaks: pure, no input or output."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from exporter.checking.conversation import (
    json_object,
    kind_of,
    repeated_keys,
    short,
    written_otherwise,
)
from exporter.checking.dialects import ROW_KEYS, Turns, wrapper_key
from exporter.checking.rules import Fault
from exporter.checking.texts import text_harms

# What other formats of training files have in place of "messages".
_OTHER_FORMATS = {
    "schemaVersion": "Nova",
    "conversations": "ShareGPT",
    "conversation": "ShareGPT",
    "instruction": "Alpaca",
    "prompt": "prompt-completion",
    "input": "preference",
    "contents": "Gemini",
    "text": "plain text",
    "custom_id": "batch request",
    "title": "title and description",
    "messages": "messages",
}

# Of one line; a damaged one may hold millions.
MOST_FAULTS = 100

RAW_LINE_ENDS = {"\u2028": "U+2028", "\u2029": "U+2029", "\x85": "U+0085"}


# No part of JSON, and where they come from: padding after a crash, DOS's end of
# a file, the record separator of RFC 7464.
_MARKS = {b"\0": "nul-padding", b"\x1a": "ctrl-z", b"\x1e": "record-separator"}


class Example(NamedTuple):
    """A line that holds messages, for what is counted over the whole file."""

    messages: list[Any]
    keys: frozenset[str]


# What stands between rows that no LF ends; a text in JSON may hold most of them.
_SEPARATOR = re.compile("}([\r\v\f\x85\u2028\u2029\ufeff])+{")
_CLOSING = re.compile(r",\s*([\]}])")
_SURROGATE = 0xED
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _NotJsonError(ValueError):
    """NaN or Infinity."""


def _refuse_constant(name: str) -> None:
    raise _NotJsonError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=json_object, parse_constant=_refuse_constant, parse_int=float
)


def examine(
    line: bytes, dialect: str = "messages", reserved: re.Pattern[str] | None = None
) -> tuple[Example | None, list[Fault]]:
    """Return the example on a line, if it is one, and the rules it breaks.

    `reserved` finds the words that no text may hold. Of a line that breaks rules
    more than a hundred times, the first hundred.
    """
    faults = list(_raw_faults(line))
    try:
        text = line.decode().strip(" \t\r\n")
        value = _DECODER.decode(text) if text else None
    except (ValueError, RecursionError) as error:
        return None, [*faults, _not_json(line, error)]
    if not text:
        return None, [*faults, Fault("blank-line")]
    turns = _turns(value, dialect)
    every = chain(
        faults, _line_faults(value, dialect, turns), _text_faults(value, reserved)
    )
    faults = list(islice(every, MOST_FAULTS))
    if turns and isinstance(value, dict) and isinstance(turns.messages, list):
        return Example(turns.messages, _keys(value, turns.messages)), faults
    return None, faults


def _turns(value: object, dialect: str) -> Turns | None:
    """Return the turns of a row in the dialect, if it is one."""
    if not isinstance(value, dict) or ROW_KEYS[dialect] not in value:
        return None
    return Turns(value, dialect)


def without_marks(line: bytes, *, first: bool) -> tuple[bytes, list[Fault]]:
    """Return the line without what is no part of JSON at its ends, and faults."""
    faults = []
    if line.startswith(BOM_UTF8):
        faults.append(Fault("bom" if first else "bom-inside"))
        line = line.removeprefix(BOM_UTF8)
    for mark, rule in _MARKS.items():
        text = line.strip(b" \t\r\n")
        if text.startswith(mark) or text.endswith(mark):
            faults.append(Fault(rule))
            line = text.strip(mark) + b"\n"
    return line, faults


def _not_json(line: bytes, error: Exception) -> Fault:
    if isinstance(error, UnicodeDecodeError):
        where = f"byte {error.start + 1} is 0x{line[error.start]:02x}"
        # What is UTF-8 but for this has lost a byte, and is in no other encoding.
        cut = (
            line[error.start] == _SURROGATE
            or not line.decode(errors="ignore").isascii()
        )
        return Fault("utf8-cut" if cut else "invalid-utf8", detail=where)
    if isinstance(error, _NotJsonError):
        return Fault("nan", detail=str(error))
    if isinstance(error, RecursionError):
        return Fault("nested-deeply")
    if not isinstance(error, json.JSONDecodeError):
        return Fault("not-json", detail=str(error))
    return _behind(error) if error.msg == "Extra data" else _broken(line, error)


def _behind(error: json.JSONDecodeError) -> Fault:
    """Return what is wrong with a line that goes on behind its value."""
    separator = _SEPARATOR.search(error.doc)
    if separator:
        return Fault("line-separator", detail=f"U+{ord(separator[1]):04X}")
    rest = error.doc[error.pos :]
    if rest in (",", ";"):
        return Fault("trailing-comma", detail=f'a "{rest}"')
    return Fault("two-values")


def _broken(line: bytes, error: json.JSONDecodeError) -> Fault:
    """Return what is wrong with a line that is no JSON at a place of it."""
    text, place = error.doc, error.pos
    if text.startswith("{'"):
        return Fault("python-dict")
    if error.msg.startswith("Invalid control character"):
        return Fault("raw-control", detail=f"U+{ord(text[place]):04X}")
    # Python 3.13 says where the comma is, older ones what is behind it.
    closing = _CLOSING.match(text, max(0, text.rfind(",", 0, place + 1)))
    if closing and closing.end() > place:
        return Fault("comma-inside", detail=closing[1])
    open_end = place == len(text) or error.msg.startswith("Unterminated")
    if open_end and not line.endswith(b"\n"):
        return Fault("cut-off")
    what = error.msg.removesuffix(" at")
    return Fault("not-json", detail=f"{what} at column {error.colno}")


def _raw_faults(line: bytes) -> Iterator[Fault]:
    if line.endswith(b"\r\n"):
        yield Fault("crlf")
    for raw, name in RAW_LINE_ENDS.items():
        if raw.encode() in line:
            yield Fault("raw-line-end", detail=name)


def _line_faults(value: object, dialect: str, turns: Turns | None) -> Iterator[Fault]:
    if value is None:
        yield Fault("null-line")
        return
    if not isinstance(value, dict):
        yield _no_object(value)
        return
    yield from repeated_keys(value, "")
    if turns and (dialect != "messages" or "schemaVersion" not in value):
        yield from turns.faults()
        return
    wrapper = wrapper_key(value)
    if wrapper is not None:
        yield Fault("wrapped", short(wrapper), short(wrapper))
        return
    own = ROW_KEYS[dialect]
    near = written_otherwise(own, value)
    other = next((name for name in _OTHER_FORMATS if name in value), None)
    if near is not None:
        yield Fault("key-case", short(near), short(near))
    elif other:
        yield Fault("other-format", other, _OTHER_FORMATS[other])
    else:
        keys = f"; the keys are {short(', '.join(value))}" if value else ""
        yield Fault("messages-missing", own, keys)


def _no_object(value: object) -> Fault:
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return Fault("encoded-twice")
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, dict) and "role" in first:
        return Fault("bare-list")
    return Fault("not-object", detail=kind_of(value))


def _text_faults(
    value: object, reserved: re.Pattern[str] | None = None
) -> Iterator[Fault]:
    for path, text in _strings(value):
        if reserved and (word := reserved.search(text)):
            yield Fault("reserved-word", path, word[0])
        for rule, found in text_harms(text):
            yield Fault(rule, path, short(found))
        if not text.isascii() and _LONE_SURROGATE.search(text):
            yield Fault("lone-surrogate", path)


def _strings(value: object) -> Iterator[tuple[str, str]]:
    """Yield every text, keys included, and where it is, however deep."""
    levels = [iter([("", value)])]
    while levels:
        path, item = next(levels[-1], (None, None))
        if path is None:
            levels.pop()
        elif isinstance(item, str):
            yield path, item
        elif isinstance(item, list | dict):
            levels.append(_below(path, item))


def _below(path: str, value: list[Any] | dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield f"{path}[{place}]", item
        return
    for key, item in value.items():
        below = f"{path}.{short(key)}" if path else short(key)
        yield below, item
        if not key.isascii():
            yield below, key


def _keys(value: dict[str, Any], messages: list[Any]) -> frozenset[str]:
    whole = (message for message in messages if isinstance(message, dict))
    below = {f"messages[].{short(key)}" for message in whole for key in message}
    return frozenset(map(short, value)) | below
