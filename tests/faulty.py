"""Small chat files with one fault each, and where `finetune check` must find it."""

import gzip
import json

from tests.corpus import (
    ANSWER,
    RAW,
    SYSTEM,
    USER,
    Case,
    at_7,
    chat,
    encoded,
    good,
    lines,
    message,
    swapped,
    with_line,
)
from tests.faulty_messages import messages, tools


def _bytes_of_lines() -> list[Case]:
    ten = b"".join(lines(10))
    late = b"".join(
        encoded(chat(USER, message("assistant", f"{n} " + "word " * 20_000)))
        for n in range(110)
    )
    key = with_line(chat(SYSTEM, USER, ANSWER, note="later"), at=12)
    dates = b"".join(
        encoded(
            chat(
                message("system", "2026-01-01"),
                message("user", f"2026-02-{day:02d}"),
                message("assistant", f"2026-03-{day:02d}"),
            )
        )
        for day in range(1, 13)
    )
    pretty = json.dumps(chat(SYSTEM, USER, ANSWER), indent=2).encode() + b"\n"
    array = b"[" + b",".join(row.strip() for row in lines(12)) + b"]\n"
    return [
        Case("empty file", b"", "empty-file", None, None),
        Case("byte order mark", b"\xef\xbb\xbf" + ten, "bom", 1, None),
        Case("UTF-16", ten.decode().encode("utf-16"), "utf-16", None, None),
        Case("UTF-16 without a mark", ten.decode().encode("utf-16-le"), "utf-16", None,
             None),
        Case("UTF-32", ten.decode().encode("utf-32"), "utf-16", None, None),
        Case("array on one line", array, "json-array", 1, None),
        Case("array on many lines", array.replace(b",{", b",\n{"), "json-array", 1,
             None),
        Case("object on many lines", pretty, "many-lines", 1, None),
        Case("gzip", gzip.compress(ten, mtime=0), "gzip", None, None,
             file="train.jsonl.gz"),
        Case("gzip cut short", gzip.compress(ten, mtime=0)[:-30], "gzip-damaged", None,
             None, frozenset({"gzip"}),
             file="train.jsonl.gz"),
        Case("name without .jsonl", ten, "file-name", None, None, file="train.txt"),
        Case("nine examples", b"".join(lines(9)), "too-few-examples", None, None),
        Case("three examples", b"".join(lines(3)), "too-few-examples", None, None),
        Case("two examples", b"".join(lines(2)), "too-few-examples", None, None),
        at_7("blank line", b"\n", "blank-line"),
        at_7("line of blanks", b"  \t\n", "blank-line"),
        Case("blank line at the end", ten + b"\n", "blank-line", 11, None),
        at_7("CRLF", RAW[:-1] + b"\r\n", "crlf"),
        Case("no final newline", ten[:-1], "no-final-newline", 10, None),
        at_7("raw U+2028", swapped(b"blue", "a\u2028b".encode()), "raw-line-end"),
        at_7("raw U+2029", swapped(b"blue", "a\u2029b".encode()), "raw-line-end"),
        at_7("raw U+0085", swapped(b"blue", "a\u0085b".encode()), "raw-line-end"),
        at_7("invalid UTF-8", swapped(b"blue", b"bl\xffe"), "invalid-utf8"),
        at_7("Latin-1", swapped(b"blue", "caf\xe9".encode("latin-1")),
              "invalid-utf8"),
        at_7("surrogate as UTF-8", swapped(b"blue", b"\xed\xa0\x80"), "utf8-cut"),
        at_7("lone surrogate", swapped(b"blue", b"\\ud800"), "lone-surrogate",
              "messages[2].content"),
        at_7("cut line", RAW[:60] + b"\n", "not-json"),
        at_7("trailing comma", swapped(b"}]", b"},]"), "comma-inside"),
        at_7("single quotes", RAW.replace(b'"', b"'"), "python-dict"),
        at_7("two objects on a line", RAW.strip() + RAW, "two-values"),
        at_7("raw control character", swapped(b"blue", b"bl\x01e"), "raw-control"),
        at_7("nested deeply", b"[" * 100_000 + b"\n", "nested-deeply"),
        at_7("NaN", swapped(b'"A blue bag."', b"NaN"), "nan"),
        at_7("NUL bytes", b"\0" * 50 + b"\n", "nul-padding"),
        Case("NUL bytes at the end", ten + b"\0" * 200, "nul-padding", 11, None),
        Case("NUL bytes behind a line cut short", ten[:-1] + b"\0" * 200,
             "nul-padding", 10, None),
        Case("Ctrl-Z at the end", ten + b"\x1a", "ctrl-z", 11, None),
        Case("Ctrl-Z behind the last line", ten[:-1] + b"\x1a", "ctrl-z", 10, None),
        Case("two files with marks joined", ten + b"\xef\xbb\xbf" + good(11),
             "bom-inside", 11, None),
        Case("record separators", b"".join(b"\x1e" + row for row in lines(10)),
             "record-separator", 1, None),
        at_7("comma behind the object", RAW[:-1] + b",\n", "trailing-comma"),
        Case("array that is damaged", array.replace(b"}]", b"}],", 1), "json-damaged",
             1, None),
        Case("array over lines with other bytes", array.replace(b",{", b",\n{", 1)
             .replace(b"Bag 9.", b"\xff"), "json-damaged", 1, None),
        Case("array over lines without an end", b"[\n" * 60_000, "json-damaged", 1,
             None),
        Case("object over lines that is cut", pretty[:-3], "json-damaged", 1, None),
        Case("web page", b"\n<!DOCTYPE html>\n<html></html>\n", "page", None, None),
        Case("error of a store", b"<?xml version='1.0'?>\n<Error/>\n", "page", None,
             None),
        Case("zip", b"PK\x03\x04" + bytes(26) + b"train.jsonl" + ten, "zip", None,
             None),
        Case("spreadsheet", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "xlsx",
             None, None),
        Case("CSV", b"uid,title,content\n1,lamp,bright\n", "csv", 1, None,
             file="train.csv"),
        Case("TSV in capitals with a mark", b"\xef\xbb\xbfuid\ttitle\n", "csv", 1, None,
             file="TRAIN.TSV"),
        Case("messages in a file named as CSV", ten, "file-name", None, None,
             file="train.csv"),
        Case("Parquet", b"PAR1\x15\x04\x15", "parquet", None, None),
        Case("pointer of Git LFS", b"version https://git-lfs.example/spec/v1\n",
             "lfs-pointer", None, None),
        Case("zstd", b"\x28\xb5\x2f\xfd\x04\x58", "archive", None, None),
        Case("SQLite", b"SQLite format 3\0\x10\0", "binary", None, None),
        Case("bytes of no format", bytes(range(1, 200)), "binary", None, None),
        Case("gzip under another name", gzip.compress(ten, mtime=0), "gzip-misnamed",
             None, None),
        Case("plain text called .gz", ten, "file-name", None, None,
             file="train.jsonl.gz"),
        at_7("over-long line", encoded(chat(USER, message("assistant", "x" * (5 << 20)
              ))), "line-too-long"),
        Case("key after the first 10 MiB", late + key, "late-key", 122, "note",
             frozenset({"extra-key"})),
        Case("nothing but dates", dates, "dates-only", None, "messages[].content"),
        Case("line twice", with_line(good(3)), "duplicate-example", 7, None),
    ]  # fmt: skip


def _not_jsonl() -> list[Case]:
    from_value = {"from": "human", "value": "Bag"}
    plain = {"prompt": "Bag", "completion": "A blue bag."}
    return [
        at_7("list on a line", [USER, ANSWER], "bare-list"),
        at_7("text on a line", "Bag", "not-object"),
        at_7("number on a line", 7, "not-object"),
        at_7("null on a line", None, "null-line"),
        at_7("empty object", {}, "messages-missing", "messages"),
        at_7("misspelt messages", {"message": [USER, ANSWER]}, "messages-missing",
              "messages"),
        Case("ShareGPT line", with_line({"conversations": [from_value]}),
             "other-format", 7, "conversations", frozenset({"mixed-formats"})),
        Case("prompt line", with_line(plain), "other-format", 7, "prompt",
             frozenset({"mixed-formats"})),
        Case("nothing but prompts", b"".join(encoded({**plain, "prompt": f"Bag {n}"})
             for n in range(12)), "other-format", 1, "prompt"),
        at_7("extra key", chat(SYSTEM, USER, ANSWER, uid="a-1"), "extra-key", "uid"),
        at_7("tools", chat(SYSTEM, USER, ANSWER, tools=[]), "api-key", "tools"),
        at_7("Messages", {"Messages": [USER, ANSWER]}, "key-case", "Messages"),
        at_7("messages with a blank", {"messages ": [USER, ANSWER]}, "key-case",
              "messages "),
        at_7("Role", chat(SYSTEM, {"Role": "user", "content": "Bag"}, ANSWER),
              "key-case", "messages[1].Role"),
        at_7("CONTENT", chat(SYSTEM, {"role": "user", "CONTENT": "Bag"}, ANSWER),
              "key-case", "messages[1].CONTENT"),
        at_7("messages null", {"messages": None}, "messages-not-list", "messages"),
        at_7("messages a text", {"messages": "Bag"}, "messages-not-list", "messages"),
        at_7("messages an object", {"messages": USER}, "messages-not-list",
              "messages"),
        at_7("no message", chat(), "messages-empty", "messages"),
        at_7("message a text", chat(SYSTEM, "Bag", ANSWER), "message-not-object",
              "messages[1]"),
        at_7("message null", chat(SYSTEM, None, ANSWER), "message-not-object",
              "messages[1]"),
        at_7("messages twice", swapped(b'{"messages"', b'{"messages":[],"messages"'),
              "duplicate-key", "messages"),
        at_7("role twice", swapped(b'"role":"user"', b'"role":"user","role":"user"'),
              "duplicate-key", "messages[1].role"),
        at_7("role twice, once escaped",
              swapped(b'"role":"user"', b'"r\\u006fle":"user","role":"user"'),
              "duplicate-key", "messages[1].role"),
    ]  # fmt: skip


def faulty() -> list[Case]:
    """Return the faulty files."""
    return [*_bytes_of_lines(), *_not_jsonl(), *messages(), *tools()]
