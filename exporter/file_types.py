"""File types other than plain text, recognized by the first bytes of a file."""

import codecs
import re
from typing import NamedTuple


class FileType(NamedTuple):
    """The rule of `finetune check` that a file of this type breaks, and its name."""

    rule: str
    detail: str = ""


# This many bytes of a file are enough to recognize its type.
SIGNATURE_BYTES = 4096

# The first bytes of each format (from the formats' own documents, 2026-11-25).
_SIGNATURES = {
    b"PAR1": FileType("parquet"),
    b"version https://git-lfs": FileType("lfs-pointer"),
    b"BZh": FileType("archive", "bzip2"),
    b"\xfd7zXZ\0": FileType("archive", "xz"),
    b"\x28\xb5\x2f\xfd": FileType("archive", "zstd"),
    b"7z\xbc\xaf\x27\x1c": FileType("seven-zip"),
    b"ARROW1": FileType("binary", "an Arrow file"),
    b"Obj\x01": FileType("binary", "an Avro file"),
    b"ORC": FileType("binary", "an ORC file"),
    b"SQLite format 3\0": FileType("binary", "a SQLite database"),
    b"%PDF-": FileType("binary", "a PDF"),
    b"PGDMP": FileType("binary", "a dump of PostgreSQL"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": FileType("xlsx", "an old Office file"),
    b"PK\x05\x06": FileType("zip"),
    codecs.BOM_UTF32_LE: FileType("utf-16", "UTF-32"),
    codecs.BOM_UTF32_BE: FileType("utf-16", "UTF-32"),
    codecs.BOM_UTF16_LE: FileType("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: FileType("utf-16", "UTF-16"),
}
_OFFICE = re.compile(
    rb"PK\x03\x04.{4,26}?(\[Content_Types\]|_rels/|xl/|docProps/)", re.DOTALL
)
# Control characters that text never contains. NUL is left out: it is padding, which
# is reported with its line.
_CONTROLS = bytes({*range(1, 32)} - {*b"\t\n\r\f\x1a\x1b\x1e"})
_TAG = re.compile(rb"<[!?/a-z]", re.IGNORECASE)
_HTML = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)


def file_type(start: bytes) -> FileType | None:
    """Return the type of a file by its first bytes, or None for plain text."""
    for signature, found in _SIGNATURES.items():
        if start.startswith(signature):
            return found
    if start.startswith(b"PK\x03\x04"):
        office = _OFFICE.match(start)
        return FileType("xlsx", "an Office file") if office else FileType("zip")
    if start[257:262] == b"ustar":
        return FileType("tar")
    if _TAG.match(start.removeprefix(codecs.BOM_UTF8).lstrip()):
        return FileType("page", "HTML" if _HTML.search(start) else "XML")
    encoding = _wide_encoding(start[:100])
    return FileType("utf-16", encoding) if encoding else None


def is_binary(start: bytes) -> bool:
    """Return whether too many control characters are in the first bytes of a file."""
    controls = len(start) - len(start.translate(None, _CONTROLS))
    return controls * 20 > len(start) - start.count(0)


def _wide_encoding(start: bytes) -> str | None:
    """Return the UTF-16 or UTF-32 variant by where the zero bytes are, if any."""
    if len(start) < 4:
        return None
    # Of every four bytes, the positions where at least a third are zero.
    zeros = [start[place::4].count(0) * 3 > len(start) // 4 for place in range(4)]
    wide = {
        "0101": "UTF-16LE",
        "1010": "UTF-16BE",
        "0111": "UTF-32LE",
        "1110": "UTF-32BE",
    }
    return wide.get("".join("01"[zero] for zero in zeros))
