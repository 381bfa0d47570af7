"""What a file is that is not made of lines of JSON, by its bytes."""

import json
import re
from typing import Any, Protocol

from exporter.checking.conversation import Fault, short
from exporter.checking.dialects import ROW_KEYS, wrapper_key

BOM = b"\xef\xbb\xbf"

# As much is looked at to say what a file is.
START_BYTES = 4096

# JSON over several lines is read this far, to say whether it is damaged.
_MOST_BYTES = 32 << 20

# How files begin that are no text (the file formats' own documents, 2026-11-25).
_BEGINNINGS = {
    b"PAR1": Fault("parquet"),
    b"version https://git-lfs": Fault("lfs-pointer"),
    b"BZh": Fault("archive", detail="bzip2"),
    b"\xfd7zXZ\0": Fault("archive", detail="xz"),
    b"\x28\xb5\x2f\xfd": Fault("archive", detail="zstd"),
    b"7z\xbc\xaf\x27\x1c": Fault("seven-zip"),
    b"ARROW1": Fault("binary", detail="an Arrow file"),
    b"Obj\x01": Fault("binary", detail="an Avro file"),
    b"SQLite format 3\0": Fault("binary", detail="a SQLite database"),
    b"%PDF-": Fault("binary", detail="a PDF"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Fault("xlsx", detail="an old Office file"),
}
_ZIP = b"PK\x03\x04", b"PK\x05\x06"
_OFFICE = re.compile(
    rb"PK\x03\x04.{26}(\[Content_Types\]|_rels/|xl/|docProps/)", re.DOTALL
)
_TAR = b"ustar", 257
_PAGE = re.compile(rb"<[!?/a-z]", re.IGNORECASE)
_HTML = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)
_BLANKS = re.compile(r"\s*")
# Control characters that no text has; NUL is padding, and told of its line.
_CONTROLS = bytes({*range(1, 32)} - {*b"\t\n\r\f\x1a\x1b\x1e"})


class ByteFile(Protocol):
    """What a plain and a compressed file have in common."""

    def peek(self, size: int, /) -> bytes:
        """Return the next bytes without taking them."""

    def readline(self, size: int, /) -> bytes:
        """Take a line, or its next `size` bytes."""

    def read(self, size: int, /) -> bytes:
        """Take the next bytes."""

    def read1(self, size: int, /) -> bytes:
        """Take some of the next bytes."""


def _packed(start: bytes) -> Fault | None:
    """Return what is packed or for other programs, by how it begins."""
    for beginning, fault in _BEGINNINGS.items():
        if start.startswith(beginning):
            return fault
    if start.startswith(_ZIP):
        office = _OFFICE.match(start)
        return Fault("xlsx", detail="an Office file") if office else Fault("zip")
    return Fault("tar") if start.startswith(*_TAR) else None


def shape(start: bytes) -> Fault | None:
    """Return what a file is by its first bytes, if not lines of text."""
    packed = _packed(start)
    if packed:
        return packed
    if _PAGE.match(start.removeprefix(BOM).lstrip()):
        return Fault("page", detail="HTML" if _HTML.search(start) else "XML")
    encoding = _other_encoding(start[:4])
    if encoding:
        return Fault("utf-16", detail=encoding)
    controls = len(start) - len(start.translate(None, _CONTROLS))
    if controls * 20 > len(start) - start.count(0):
        return Fault("binary", detail="binary")
    return None


def _other_encoding(start: bytes) -> str | None:
    if start in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        return "UTF-32"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "UTF-16"
    # An ASCII character of two bytes or of four, the first or the last of them.
    size = start.count(0) + 1
    if len(start) == 4 and size in (3, 4) and start.strip(b"\0")[:1] in b"{[":
        return f"UTF-{16 if size == 3 else 32}{'BE' if start[0] == 0 else 'LE'}"
    return None


def spread(start: bytes, file: ByteFile) -> Fault | None:
    """Return a fault if the first line begins JSON that goes over several.

    The rest of the file is read then, as far as it is looked at.
    """
    line = start.removeprefix(BOM).strip()
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
