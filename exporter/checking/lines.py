"""Check one line of a chat file. Pure functions, no input or output."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

from exporter.checking.conversation import (
    duplicate_keys,
    json_object,
    kind_of,
    misspelled_key,
    short,
)
from exporter.checking.dialects import ROW_KEYS, RowConversation, wrapper_key
from exporter.checking.rules import Fault
from exporter.checking.texts import text_harms

# Formats of training files, by a key of their rows. The last one is for the check of
# another dialect.
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

# At most this many faults of a line are reported; a damaged one may have millions.
MOST_FAULTS = 100

RAW_LINE_ENDS = {"\u2028": "U+2028", "\u2029": "U+2029", "\x85": "U+0085"}


# Bytes at either end of a line that are not part of JSON: padding after a crash, the
# end of a DOS file, the record separator of RFC 7464.
_STRAY_BYTES = {b"\0": "nul-padding", b"\x1a": "ctrl-z", b"\x1e": "record-separator"}


class Example(NamedTuple):
    """The messages of a line, and all keys that appear in it."""

    messages: list[Any]
    keys: frozenset[str]


# Separators of rows other than LF; most of them may also be in a text of JSON.
_SEPARATOR = re.compile("}([\r\v\f\x85\u2028\u2029\ufeff])+{")
_CLOSING = re.compile(r",\s*([\]}])")
_SURROGATE = 0xED
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class _NotJsonError(ValueError):
    """NaN or Infinity, which Python's parser accepts and JSON does not have."""


def _refuse_constant(name: str) -> None:
    raise _NotJsonError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=json_object, parse_constant=_refuse_constant, parse_int=float
)


def check_line(
    line: bytes, dialect: str = "messages", reserved: re.Pattern[str] | None = None
) -> tuple[Example | None, list[Fault]]:
    """Return the example on a line, or None, and the first hundred faults of the line.

    `reserved` matches the words that no text may contain.
    """
    faults = list(_raw_faults(line))
    try:
        text = line.decode().strip(" \t\r\n")
        value = _DECODER.decode(text) if text else None
    except (ValueError, RecursionError) as error:
        return None, [*faults, _parse_fault(line, error)]
    if not text:
        return None, [*faults, Fault("blank-line")]
    row = value if isinstance(value, dict) and ROW_KEYS[dialect] in value else None
    conversation = None if row is None else RowConversation(row, dialect)
    every = chain(
        faults,
        _value_faults(value, dialect, conversation),
        _text_faults(value, reserved),
    )
    faults = list(islice(every, MOST_FAULTS))
    if row and conversation and isinstance(conversation.messages, list):
        messages = conversation.messages
        return Example(messages, _keys(row, messages)), faults
    return None, faults


def strip_stray_bytes(line: bytes, *, first: bool) -> tuple[bytes, list[Fault]]:
    """Return the line without stray bytes at its ends, and a fault for each kind."""
    faults = []
    if line.startswith(BOM_UTF8):
        faults.append(Fault("bom" if first else "bom-inside"))
        line = line.removeprefix(BOM_UTF8)
    for stray, rule in _STRAY_BYTES.items():
        text = line.strip(b" \t\r\n")
        if text.startswith(stray) or text.endswith(stray):
            faults.append(Fault(rule))
            line = text.strip(stray) + b"\n"
    return line, faults


def _parse_fault(line: bytes, error: ValueError | RecursionError) -> Fault:
    """Return the fault of a line that cannot be decoded or parsed."""
    if isinstance(error, UnicodeDecodeError):
        where = f"byte {error.start + 1} is 0x{line[error.start]:02x}"
        # Without this byte the line is UTF-8: a character was cut, and the line is
        # not in another encoding.
        cut = (
            line[error.start] == _SURROGATE
            or not line.decode(errors="ignore").isascii()
        )
        return Fault("utf8-cut" if cut else "invalid-utf8", detail=where)
    if isinstance(error, _NotJsonError):
        return Fault("nan", detail=str(error))
    if not isinstance(error, json.JSONDecodeError):
        return Fault("nested-deeply")
    if error.msg == "Extra data":
        return _extra_data_fault(error)
    return _syntax_fault(line, error)


def _extra_data_fault(error: json.JSONDecodeError) -> Fault:
    """Return the fault of a line that continues after a whole JSON value."""
    separator = _SEPARATOR.search(error.doc)
    if separator:
        return Fault("line-separator", detail=f"U+{ord(separator[1]):04X}")
    rest = error.doc[error.pos :]
    if rest in (",", ";"):
        return Fault("trailing-comma", detail=f'a "{rest}"')
    return Fault("two-values")


def _syntax_fault(line: bytes, error: json.JSONDecodeError) -> Fault:
    """Return the fault of a line with a syntax error."""
    text, position = error.doc, error.pos
    if text.startswith("{'"):
        return Fault("python-dict")
    if error.msg.startswith("Invalid control character"):
        return Fault("raw-control", detail=f"U+{ord(text[position]):04X}")
    # Python 3.13 gives the position of the comma, older versions that after it.
    closing = _CLOSING.match(text, text.rfind(",", 0, position + 1))
    if closing and closing.end() > position:
        return Fault("comma-inside", detail=closing[1])
    open_end = position == len(text) or error.msg.startswith("Unterminated")
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


def _value_faults(
    value: object, dialect: str, conversation: RowConversation | None
) -> Iterator[Fault]:
    if value is None:
        yield Fault("null-line")
        return
    if not isinstance(value, dict):
        yield _not_object_fault(value)
        return
    yield from duplicate_keys(value, "")
    if conversation and (dialect != "messages" or "schemaVersion" not in value):
        yield from conversation.faults()
        return
    wrapper = wrapper_key(value)
    if wrapper is not None:
        yield Fault("wrapped", short(wrapper), short(wrapper))
        return
    key = ROW_KEYS[dialect]
    misspelled = misspelled_key(key, value)
    other = next((name for name in _OTHER_FORMATS if name in value), None)
    if misspelled is not None:
        yield Fault("key-case", short(misspelled), short(misspelled))
    elif other:
        yield Fault("other-format", other, _OTHER_FORMATS[other])
    else:
        keys = f"; the keys are {short(', '.join(value))}" if value else ""
        yield Fault("messages-missing", key, keys)


def _not_object_fault(value: object) -> Fault:
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
        words = reserved.findall(text) if reserved else []
        for word in dict.fromkeys(words):
            yield Fault("reserved-word", path, word)
        for rule, found in text_harms(text):
            yield Fault(rule, path, short(found))
        if not text.isascii() and _LONE_SURROGATE.search(text):
            yield Fault("lone-surrogate", path)


def _strings(value: object) -> Iterator[tuple[str, str]]:
    """Yield the path and text of every string, at any depth, non-ASCII keys too."""
    levels = [iter([("", value)])]
    while levels:
        path, item = next(levels[-1], (None, None))
        if path is None:
            levels.pop()
        elif isinstance(item, str):
            yield path, item
        elif isinstance(item, list | dict):
            levels.append(_children(path, item))


def _children(
    path: str, value: list[Any] | dict[str, Any]
) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
        return
    for key, item in value.items():
        child = f"{path}.{short(key)}" if path else short(key)
        yield child, item
        if not key.isascii():
            yield child, key


def _keys(row: dict[str, Any], messages: list[Any]) -> frozenset[str]:
    objects = (message for message in messages if isinstance(message, dict))
    inner = {f"messages[].{short(key)}" for message in objects for key in message}
    return frozenset(map(short, row)) | inner
