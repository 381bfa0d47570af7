"""Files that are not JSON Lines: binary files, CSV, and JSON over many lines."""

import json
import re
from codecs import BOM_UTF8
from gzip import GzipFile
from io import BufferedReader
from typing import Any

from exporter.checking.conversation import short
from exporter.checking.dialects import ROW_KEYS, wrapper_key
from exporter.checking.rules import Fault
from exporter.file_types import SIGNATURE_BYTES, file_type, is_binary

# A JSON document over many lines is read this far to find out if it is damaged.
_DOCUMENT_BYTES = 32 << 20

_BLANKS = re.compile(r"\s*")


ByteFile = BufferedReader | GzipFile


def not_text(start: bytes) -> Fault | None:
    """Return a fault if a file is not plain text, by its first bytes."""
    found = file_type(start)
    if found:
        return Fault(found.rule, detail=found.detail)
    return Fault("binary", detail="binary") if is_binary(start) else None


def not_lines(first_line: bytes, file: ByteFile, name: str) -> Fault | None:
    """Return a fault if the first line begins CSV, or JSON that spans many lines.

    Of JSON, the next 32 MiB of the file are read to find out if it is damaged.
    """
    line = first_line.removeprefix(BOM_UTF8).strip()
    if name.lower().endswith((".csv", ".tsv")) and line[:1] not in b"{[":
        return Fault("csv")
    if line.startswith(b"["):
        # If every line is a list, each line is reported on its own.
        if line.endswith(b"]") and file.peek(1):
            return None
        rule = "json-array"
    elif _is_incomplete(line) and not _is_row(file.peek(SIGNATURE_BYTES)):
        rule = "many-lines"
    else:
        return None
    rest = file.read(_DOCUMENT_BYTES)
    if len(rest) == _DOCUMENT_BYTES:
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


def _is_incomplete(line: bytes) -> bool:
    """Return whether a line is the valid beginning of a longer JSON object."""
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        return line.startswith(b"{") and error.pos == len(error.doc)
    except (ValueError, RecursionError):
        return False
    return False


def _is_row(start: bytes) -> bool:
    """Return whether a row begins here, so that only the line before is damaged."""
    return any(start.startswith(b'{"%b"' % key.encode()) for key in ROW_KEYS.values())


def _first_value(content: bytes) -> Any:  # noqa: ANN401
    """Return the first of the JSON values; raise an error if any is invalid."""
    decoder = json.JSONDecoder()
    text = content.decode().strip()
    first, position = decoder.raw_decode(text)
    while position < len(text):
        position = _BLANKS.match(text, position).end()  # type: ignore[union-attr]
        _, position = decoder.raw_decode(text, position)
    return first
