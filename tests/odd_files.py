"""The same twelve rows in files of every odd kind, and the rule that each breaks."""

import gzip
import io
import json
import tarfile
import zipfile

from tests.corpus import ANSWER, SYSTEM, USER, chat, encoded, good, lines, with_line

TWELVE = lines(12)
ROWS = [json.loads(row) for row in TWELVE]
ALL = b"".join(TWELVE)


def packed(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("OTHER.jsonl", ALL)
    else:
        with tarfile.open(fileobj=file, mode="w") as archive_of_tapes:
            member = tarfile.TarInfo("OTHER.jsonl")
            member.size = len(ALL)
            archive_of_tapes.addfile(member, io.BytesIO(ALL))
    return file.getvalue()


def each(old: bytes, new: bytes) -> bytes:
    """Return the good lines with a replacement in each of them."""
    changed = [row.replace(old, new) for row in TWELVE]
    assert changed != TWELVE
    return b"".join(changed)


def row(old: bytes, new: bytes) -> bytes:
    """Return good lines with a replacement in one of them."""
    return with_line(good(7).replace(old, new))


# What a file is like, and the rule that it breaks.
FILES: dict[str, tuple[bytes, str]] = {
    "a mark at the start": (b"\xef\xbb\xbf" + ALL, "bom"),
    "a mark in the middle": (b"".join(TWELVE[:6]) + b"\xef\xbb\xbf"
        + b"".join(TWELVE[6:]), "bom-inside"),
    "a mark where two files without a line end were joined": (
        row(b"\n", b"\xef\xbb\xbf" + good(20)), "line-separator"),
    "NUL at the end": (ALL + bytes(5000), "nul-padding"),
    "NUL at the start": (bytes(4096) + ALL, "nul-padding"),
    "Ctrl-Z": (ALL + b"\x1a", "ctrl-z"),
    "record separators": (each(b'{"mess', b'\x1e{"mess'), "record-separator"),
    "Messages": (each(b"messages", b"Messages"), "key-case"),
    "a blank and a mark in keys": (each(b'"content"', '"\u200bCONTENT "'.encode()),
        "key-case"),
    "ROLES": (each(b'"user"', b'"User "'), "role-case"),
    "an array": (json.dumps(ROWS).encode(), "json-array"),
    "an array of lines behind a blank one": (
        b"\n\n[\n" + ALL.strip().replace(b"\n", b",\n") + b"\n]\n", "json-array"),
    "pretty rows": (b"\n".join(json.dumps(r, indent=1).encode() for r in ROWS),
        "many-lines"),
    "rows over lines written by hand": (each(b'"messages":[', b'"messages":[\n'),
        "many-lines"),
    "an object around them": (json.dumps({"data": ROWS}).encode(), "wrapped"),
    "a pretty object around them": (json.dumps({"n": 1, "data": ROWS}, indent=1)
        .encode(), "wrapped"),
    "rows in texts": (b"".join(encoded(r.decode()) for r in TWELVE), "encoded-twice"),
    "messages in texts": (b"".join(encoded({"messages": json.dumps(r["messages"])})
        for r in ROWS), "messages-encoded"),
    "bare lists": (b"".join(encoded(r["messages"]) for r in ROWS), "bare-list"),
    "zip": (packed("zip"), "zip"),
    "tar": (packed("tar"), "tar"),
    "gzip": (gzip.compress(ALL), "gzip-misnamed"),
    "cp1252": (each(b"Bag ", b"B\xe4g "), "invalid-utf8"),
    "a character that was cut": (with_line(encoded(chat(SYSTEM, USER, ANSWER))
        .replace(b"blue", "\u043a".encode() + b"\xd0")), "utf8-cut"),
    "a pair of surrogates as UTF-8": (row(b"Bag 7", b"\xed\xa0\xbd\xed\xb8\x80 Bag 7"),
        "utf8-cut"),
    "UTF-16": (ALL.decode().encode("utf-16"), "utf-16"),
    "UTF-16 without a mark": (ALL.decode().encode("utf-16-be"), "utf-16"),
    "UTF-32 without a mark": (ALL.decode().encode("utf-32-le"), "utf-16"),
    "a key twice": (row(b'"role":"user"', b'"role":"user","role":"user"'),
        "duplicate-key"),
    "CR LF": (each(b"\n", b"\r\n"), "crlf"),
    "CR": (ALL.replace(b"\n", b"\r"), "line-separator"),
    "vertical tabs": (ALL.replace(b"\n", b"\v"), "line-separator"),
    "U+2028": (ALL.replace(b"\n", "\u2028".encode()), "line-separator"),
    "blank lines": (each(b"\n", b"\n \t\n"), "blank-line"),
    "commas": (each(b"\n", b",\n"), "trailing-comma"),
    "commas and CR LF": (each(b"\n", b",\r\n"), "trailing-comma"),
    "semicolons": (each(b"\n", b"; \n"), "trailing-comma"),
    "commas inside": (each(b'."}]}', b', ]."},]}'), "comma-inside"),
    "rows on one line": (ALL.replace(b"\n", b" "), "two-values"),
    "Python's quotes": (b"".join(f"{r}\n".encode() for r in ROWS), "python-dict"),
    "a raw tab": (row(b"Bag 7", b"Bag\t7"), "raw-control"),
    "cut off": (ALL + good(13)[:60], "cut-off"),
    "no line end": (ALL[:-1], "no-final-newline"),
}  # fmt: skip

# Files that no command can repair.
NAMED = {
    "a page behind a comment": (b"\n <!-- x --><html>\n<head>\n", "page"),
    "an error of a store": (b"<Error><Code>AccessDenied</Code></Error>", "page"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "seven-zip"),
    "an array that is broken": (json.dumps(ROWS).encode()[:-3], "json-damaged"),
    "nothing": (b"", "empty-file"),
    "a first line that is cut among rows": (b'{"messages":[\n' + ALL, "not-json"),
    "a role that nobody knows": (each(b'"user"', b'"human"'), "role-unknown"),
    "rows of 3 MB that CR ends": (
        (encoded(chat(USER, {"role": "assistant", "content": "x" * 900}))[:-1] + b"\r")
        * 3000, "line-separator"),
}  # fmt: skip
