"""What a file is that is not made of lines of JSON, by its bytes."""

import json
import re
from codecs import BOM_UTF8
from gzip import GzipFile
from io import BufferedReader
from typing import Any

from exporter import shapes
from exporter.checking.conversation import short
from exporter.checking.dialects import ROW_KEYS, wrapper_key
from exporter.checking.rules import Fault
from exporter.shapes import START_BYTES

# JSON over several lines is read this far, to say whether it is damaged.
_MOST_BYTES = 32 << 20

_BLANKS = re.compile(r"\s*")
# Control characters that no text has; NUL is padding, and told of its line.
_CONTROLS = bytes({*range(1, 32)} - {*b"\t\n\r\f\x1a\x1b\x1e"})


ByteFile = BufferedReader | GzipFile


def shape(start: bytes) -> Fault | None:
    """Return what a file is by its first bytes, if not lines of text."""
    found = shapes.shape(start)
    if found:
        return Fault(found.rule, detail=found.detail)
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if controls * 20 > len(start) - start.count(0):
        return Fault("binary", detail="binary")
    return None


def spread(start: bytes, file: ByteFile) -> Fault | None:
    """Return a fault if the first line begins JSON that goes over several.

    The rest of the file is read then, as far as it is looked at.
    """
    line = start.removeprefix(BOM_UTF8).strip()
    if line.startswith(b"["):
        # A list on each of many lines is another fault, found on each of them.
        if line.endswith(b"]") and file.peek(1):
            return None
        rule = "json-array"
    elif _goes_on(line) and not _is_row(file.peek(START_BYTES)):
        rule = "many-lines"
    else:
        return None
    rest = file.read(_MOST_BYTES)
    if len(rest) == _MOST_BYTES:
        return Fault(rule)
    try:
        first = _first_value(line + b"\n" + rest)
    except (ValueError, RecursionError) as error:
        return Fault("json-damaged", detail=_reason(error))
    wrapper = wrapper_key(first) if isinstance(first, dict) else None
    return Fault(rule) if wrapper is None else Fault("wrapped", detail=short(wrapper))


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        what = error.msg.removesuffix(" at")
        return f"{what} at line {error.lineno} column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _goes_on(line: bytes) -> bool:
    """Say whether a line is JSON that only ends too early."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return line.startswith(b"{") and error.pos == len(error.doc)
    except (ValueError, RecursionError):
        return False
    return False


def _is_row(start: bytes) -> bool:
    """Say whether a row begins here, so that the line before is merely damaged."""
    return any(start.startswith(b'{"%b"' % key.encode()) for key in ROW_KEYS.values())


def _first_value(content: bytes) -> Any:  # noqa: ANN401
    """Return the first of values; raise an error if they are not all JSON."""
    decoder = json.JSONDecoder()
    text = content.decode().strip()
    first, place = decoder.raw_decode(text)
    while place < len(text):
        place = _BLANKS.match(text, place).end()  # type: ignore[union-attr]
        _, place = decoder.raw_decode(text, place)
    return first
