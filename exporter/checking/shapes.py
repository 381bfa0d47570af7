"""What a file is that is not made of lines of JSON, by its bytes."""

import json
import re
from typing import Protocol

from exporter.checking.conversation import Fault

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
    b"7z\xbc\xaf\x27\x1c": Fault("archive", detail="7z"),
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
_PAGE = re.compile(rb"<(!doctype html|html|head|body|\?xml|error)\b", re.IGNORECASE)
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


def shape(start: bytes) -> Fault | None:
    """Return what a file is by its first bytes, if not lines of text."""
    for beginning, fault in _BEGINNINGS.items():
        if start.startswith(beginning):
            return fault
    if start.startswith(_ZIP):
        office = _OFFICE.match(start)
        return Fault("xlsx", detail="an Office file") if office else Fault("zip")
    page = _PAGE.match(start.removeprefix(BOM).lstrip())
    if page:
        return Fault("page", detail="XML" if page[1][0] in b"?eE" else "HTML")
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
    # An ASCII character of two bytes or of four.
    if len(start) == 4 and start.count(0) in (2, 3) and start.strip(b"\0")[:1] in b"{[":
        return "UTF-16" if start.count(0) == 2 else "UTF-32"
    return None


def spread(line: bytes, file: ByteFile) -> Fault | None:
    """Return a fault if the first line begins JSON that goes over several.

    The rest of the file is read then, as far as it is looked at.
    """
    line = line.removeprefix(BOM).strip()
    if line.startswith(b"["):
        # A list on each of many lines is another fault, found on each of them.
        if line.endswith(b"]") and file.peek(1):
            return None
        rule = "json-array"
    elif line == b"{":
        rule = "many-lines"
    else:
        return None
    rest = file.read(_MOST_BYTES)
    if len(rest) < _MOST_BYTES:
        damage = _damage(line + b"\n" + rest)
        if damage:
            return Fault("json-damaged", detail=damage)
    return Fault(rule)


def _damage(content: bytes) -> str | None:
    """Return why the bytes are not one JSON value after the other, if so."""
    decoder = json.JSONDecoder()
    try:
        text = content.decode().strip()
        place = 0
        while place < len(text):
            _, place = decoder.raw_decode(text, place)
            place = _BLANKS.match(text, place).end()  # type: ignore[union-attr]
    except json.JSONDecodeError as error:
        return f"{error.msg} at line {error.lineno} column {error.colno}"
    except RecursionError:
        return "nested too deeply"
    except ValueError as error:
        return str(error)
    return None
