"""What a file is that does not hold lines of text, by its first bytes."""

import codecs
import re
from typing import NamedTuple


class Shape(NamedTuple):
    """The rule of `finetune check` that such a file breaks, and what it is."""

    rule: str
    detail: str = ""


# As much is looked at to say what a file is.
START_BYTES = 4096

# How they begin (the file formats' own documents, 2026-11-25).
_BEGINNINGS = {
    b"PAR1": Shape("parquet"),
    b"version https://git-lfs": Shape("lfs-pointer"),
    b"BZh": Shape("archive", "bzip2"),
    b"\xfd7zXZ\0": Shape("archive", "xz"),
    b"\x28\xb5\x2f\xfd": Shape("archive", "zstd"),
    b"7z\xbc\xaf\x27\x1c": Shape("seven-zip"),
    b"ARROW1": Shape("binary", "an Arrow file"),
    b"Obj\x01": Shape("binary", "an Avro file"),
    b"ORC": Shape("binary", "an ORC file"),
    b"SQLite format 3\0": Shape("binary", "a SQLite database"),
    b"%PDF-": Shape("binary", "a PDF"),
    b"PGDMP": Shape("binary", "a dump of PostgreSQL"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Shape("xlsx", "an old Office file"),
    b"PK\x05\x06": Shape("zip"),
    codecs.BOM_UTF32_LE: Shape("utf-16", "UTF-32"),
    codecs.BOM_UTF32_BE: Shape("utf-16", "UTF-32"),
    codecs.BOM_UTF16_LE: Shape("utf-16", "UTF-16"),
    codecs.BOM_UTF16_BE: Shape("utf-16", "UTF-16"),
}
_OFFICE = re.compile(
    rb"PK\x03\x04.{4,26}?(\[Content_Types\]|_rels/|xl/|docProps/)", re.DOTALL
)
_PAGE = re.compile(rb"<[!?/a-z]", re.IGNORECASE)
_HTML = re.compile(rb"<(!doctype html|html|head|body)\b", re.IGNORECASE)


def shape(start: bytes) -> Shape | None:
    """Return what a file is by its first bytes, if not lines of text."""
    for beginning, found in _BEGINNINGS.items():
        if start.startswith(beginning):
            return found
    if start.startswith(b"PK\x03\x04"):
        office = _OFFICE.match(start)
        return Shape("xlsx", "an Office file") if office else Shape("zip")
    if start[257:262] == b"ustar":
        return Shape("tar")
    if _PAGE.match(start.removeprefix(codecs.BOM_UTF8).lstrip()):
        return Shape("page", "HTML" if _HTML.search(start) else "XML")
    encoding = _encoding(start[:100])
    return Shape("utf-16", encoding) if encoding else None


def _encoding(start: bytes) -> str | None:
    """Return the name of a wide encoding, whose ASCII characters have zeros."""
    if len(start) < 4:
        return None
    # In which places of four bytes there is one zero in three, or more.
    zeros = [start[place::4].count(0) * 3 > len(start) // 4 for place in range(4)]
    wide = {
        "0101": "UTF-16LE",
        "1010": "UTF-16BE",
        "0111": "UTF-32LE",
        "1110": "UTF-32BE",
    }
    return wide.get("".join("01"[zero] for zero in zeros))
