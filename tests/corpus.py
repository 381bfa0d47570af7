"""Small chat files, each with one known fault, and others without any."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from exporter.records import Columns, Intake, Reject, read_rows

Json = Any


def message(role: Json, content: Json, **more: Json) -> dict[str, Json]:
    """Return a message; `more` are further keys."""
    return {"role": role, "content": content, **more}


SYSTEM = message("system", "You write product descriptions.")
USER = message("user", "Bag")
ANSWER = message("assistant", "A blue bag.")


def chat(*messages: Json, **more: Json) -> dict[str, Json]:
    """Return an example; `more` are further keys beside "messages"."""
    return {"messages": list(messages), **more}


def encoded(value: Json) -> bytes:
    """Return a value as one line, its text raw."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def good(number: int) -> bytes:
    """Return an example that every reader takes; each number gives another."""
    question = message("user", f"Bag number {number}")
    return encoded(chat(SYSTEM, question, message("assistant", f"Bag {number}.")))


Row = tuple[str | None, ...]
_FIELD = re.compile('(?:"((?:[^"]|"")*)"|([^\x1f\n]*))([\x1f\n])')


def rows_of(blocks: Iterable[bytes]) -> list[Row]:
    """Return the rows that PostgreSQL would read in blocks of CSV."""
    rows, row = [], []
    for match in _FIELD.finditer(b"".join(blocks).decode()):
        quoted, bare, end = match.groups()
        row.append(bare or None if quoted is None else quoted.replace('""', '"'))
        if end == "\n":
            rows.append(tuple(row))
            row = []
    assert not row
    return rows


def rows_in(path: Path) -> tuple[list[Row], list[Reject], Intake]:
    """Read a file of rows; return them, what was set aside, and the counts."""
    rejects: list[Reject] = []
    intake = Intake(rejects.append)
    columns = Columns("uid", "title", "content")
    return rows_of(read_rows(path, columns, intake)), rejects, intake


def lines(count: int) -> list[bytes]:
    """Return so many good lines."""
    return [good(number) for number in range(1, count + 1)]


def with_line(line: bytes | Json, *, at: int = 7, count: int = 12) -> bytes:
    """Return good lines, one of them replaced."""
    rows = lines(count)
    rows[at - 1] = line if isinstance(line, bytes) else encoded(line)
    return b"".join(rows)


class Case(NamedTuple):
    """A file, and the one rule it breaks: where and in which key."""

    name: str
    content: bytes
    rule: str
    line: int | None
    key: str | None
    also: frozenset[str] = frozenset()
    file: str = "train.jsonl"


_RAW = encoded(chat(SYSTEM, USER, ANSWER))


def _at_7(name: str, line: bytes | Json, rule: str, key: str | None = None) -> Case:
    return Case(name, with_line(line), rule, 7, key)


def _swapped(old: bytes, new: bytes) -> bytes:
    assert old in _RAW
    return _RAW.replace(old, new, 1)


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
        _at_7("blank line", b"\n", "blank-line"),
        _at_7("line of blanks", b"  \t\n", "blank-line"),
        Case("blank line at the end", ten + b"\n", "blank-line", 11, None),
        _at_7("CRLF", _RAW[:-1] + b"\r\n", "crlf"),
        Case("no final newline", ten[:-1], "no-final-newline", 10, None),
        _at_7("raw U+2028", _swapped(b"blue", "a\u2028b".encode()), "raw-line-end"),
        _at_7("raw U+2029", _swapped(b"blue", "a\u2029b".encode()), "raw-line-end"),
        _at_7("raw U+0085", _swapped(b"blue", "a\u0085b".encode()), "raw-line-end"),
        _at_7("invalid UTF-8", _swapped(b"blue", b"bl\xffe"), "invalid-utf8"),
        _at_7("Latin-1", _swapped(b"blue", "caf\xe9".encode("latin-1")),
              "invalid-utf8"),
        _at_7("surrogate as UTF-8", _swapped(b"blue", b"\xed\xa0\x80"), "invalid-utf8"),
        _at_7("lone surrogate", _swapped(b"blue", b"\\ud800"), "lone-surrogate",
              "messages[2].content"),
        _at_7("cut line", _RAW[:60] + b"\n", "not-json"),
        _at_7("trailing comma", _swapped(b"}]", b"},]"), "not-json"),
        _at_7("single quotes", _RAW.replace(b'"', b"'"), "not-json"),
        _at_7("two objects on a line", _RAW.strip() + _RAW, "two-values"),
        _at_7("raw control character", _swapped(b"blue", b"bl\x01e"), "not-json"),
        _at_7("nested deeply", b"[" * 100_000 + b"\n", "not-json"),
        _at_7("NaN", _swapped(b'"A blue bag."', b"NaN"), "nan"),
        _at_7("NUL bytes", b"\0" * 50 + b"\n", "nul-padding"),
        Case("NUL bytes at the end", ten + b"\0" * 200, "nul-padding", 11, None),
        Case("NUL bytes behind a line cut short", ten[:-1] + b"\0" * 200,
             "nul-padding", 10, None),
        Case("Ctrl-Z at the end", ten + b"\x1a", "ctrl-z", 11, None),
        Case("Ctrl-Z behind the last line", ten[:-1] + b"\x1a", "ctrl-z", 10, None),
        Case("two files with marks joined", ten + b"\xef\xbb\xbf" + good(11),
             "bom-inside", 11, None),
        Case("record separators", b"".join(b"\x1e" + row for row in lines(10)),
             "record-separator", 1, None),
        _at_7("comma behind the object", _RAW[:-1] + b",\n", "trailing-comma"),
        Case("array that is damaged", array.replace(b"}]", b"}],", 1), "json-damaged",
             1, None),
        Case("object over lines that is cut", pretty[:-3], "json-damaged", 1, None),
        Case("web page", b"\n<!DOCTYPE html>\n<html></html>\n", "page", None, None),
        Case("error of a store", b"<?xml version='1.0'?>\n<Error/>\n", "page", None,
             None),
        Case("zip", b"PK\x03\x04" + bytes(26) + b"train.jsonl" + ten, "zip", None,
             None),
        Case("spreadsheet", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "xlsx",
             None, None),
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
        _at_7("over-long line", encoded(chat(USER, message("assistant", "x" * (5 << 20)
              ))), "line-too-long"),
        Case("key after the first 10 MiB", late + key, "late-key", 122, "note",
             frozenset({"extra-key"})),
        Case("nothing but dates", dates, "dates-only", None, "messages[].content"),
        Case("line twice", with_line(good(3)), "duplicate-example", 7, None),
    ]  # fmt: skip


def _shapes() -> list[Case]:
    from_value = {"from": "human", "value": "Bag"}
    plain = {"prompt": "Bag", "completion": "A blue bag."}
    return [
        _at_7("list on a line", [USER, ANSWER], "not-object"),
        _at_7("text on a line", "Bag", "not-object"),
        _at_7("number on a line", 7, "not-object"),
        _at_7("null on a line", None, "null-line"),
        _at_7("empty object", {}, "messages-missing", "messages"),
        _at_7("misspelt messages", {"message": [USER, ANSWER]}, "messages-missing",
              "messages"),
        Case("ShareGPT line", with_line({"conversations": [from_value]}),
             "other-format", 7, "conversations", frozenset({"mixed-formats"})),
        Case("prompt line", with_line(plain), "other-format", 7, "prompt",
             frozenset({"mixed-formats"})),
        Case("nothing but prompts", b"".join(encoded({**plain, "prompt": f"Bag {n}"})
             for n in range(12)), "other-format", 1, "prompt"),
        _at_7("extra key", chat(SYSTEM, USER, ANSWER, uid="a-1"), "extra-key", "uid"),
        _at_7("tools", chat(SYSTEM, USER, ANSWER, tools=[]), "api-key", "tools"),
        _at_7("Messages", {"Messages": [USER, ANSWER]}, "key-case", "Messages"),
        _at_7("messages with a blank", {"messages ": [USER, ANSWER]}, "key-case",
              "messages "),
        _at_7("Role", chat(SYSTEM, {"Role": "user", "content": "Bag"}, ANSWER),
              "key-case", "messages[1].Role"),
        _at_7("CONTENT", chat(SYSTEM, {"role": "user", "CONTENT": "Bag"}, ANSWER),
              "key-case", "messages[1].CONTENT"),
        _at_7("messages null", {"messages": None}, "messages-not-list", "messages"),
        _at_7("messages a text", {"messages": "Bag"}, "messages-not-list", "messages"),
        _at_7("messages an object", {"messages": USER}, "messages-not-list",
              "messages"),
        _at_7("no message", chat(), "messages-empty", "messages"),
        _at_7("message a text", chat(SYSTEM, "Bag", ANSWER), "message-not-object",
              "messages[1]"),
        _at_7("message null", chat(SYSTEM, None, ANSWER), "message-not-object",
              "messages[1]"),
        _at_7("messages twice", _swapped(b'{"messages"', b'{"messages":[],"messages"'),
              "duplicate-key", "messages"),
        _at_7("role twice", _swapped(b'"role":"user"', b'"role":"user","role":"user"'),
              "duplicate-key", "messages[1].role"),
        _at_7("role twice, once escaped",
              _swapped(b'"role":"user"', b'"r\\u006fle":"user","role":"user"'),
              "duplicate-key", "messages[1].role"),
    ]  # fmt: skip


def _messages() -> list[Case]:
    def answer(content: Json, **more: Json) -> Json:
        return chat(SYSTEM, USER, message("assistant", content, **more))

    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    part = {"type": "text", "text": "Bag"}
    role, content = "messages[1].role", "messages[2].content"
    return [
        _at_7("role missing", chat(SYSTEM, {"content": "Bag"}, ANSWER), "role-missing",
              role),
        _at_7("role a number", chat(SYSTEM, message(1, "Bag"), ANSWER),
              "role-not-string", role),
        _at_7("role null", chat(SYSTEM, message(None, "Bag"), ANSWER),
              "role-not-string", role),
        _at_7("unknown role", chat(SYSTEM, USER, message("bot", "Hi"), ANSWER),
              "role-unknown", "messages[2].role"),
        _at_7("role in capitals", chat(message("System", "Hi"), USER, ANSWER),
              "role-unknown", "messages[0].role"),
        _at_7("developer", chat(message("developer", "Hi"), USER, ANSWER),
              "role-developer", "messages[0].role"),
        _at_7("function", chat(SYSTEM, USER, ANSWER, message("function", "1"), ANSWER),
              "role-function", "messages[3].role"),
        _at_7("content missing", chat(SYSTEM, USER, {"role": "assistant"}),
              "content-missing", content),
        _at_7("content null", answer(None), "content-null", content),
        _at_7("answer empty", answer(""), "answer-empty", content),
        _at_7("user text empty", chat(SYSTEM, message("user", ""), ANSWER),
              "content-empty", "messages[1].content"),
        _at_7("system text empty", chat(message("system", ""), USER, ANSWER),
              "content-empty", "messages[0].content"),
        _at_7("content of blanks", answer(" \u00a0\n"), "content-blank", content),
        _at_7("content a number", answer(7), "content-not-string", content),
        _at_7("content a boolean", answer(True), "content-not-string", content),
        _at_7("content an object", answer({"text": "Hi"}), "content-not-string",
              content),
        _at_7("content an empty list", answer([]), "content-list-empty", content),
        _at_7("content of parts", chat(SYSTEM, message("user", [part]), ANSWER),
              "content-parts", "messages[1].content"),
        _at_7("content with an image",
              chat(SYSTEM, message("user", [part, image]), ANSWER), "content-image",
              "messages[1].content"),
        _at_7("content a list of texts", answer(["Hi"]), "content-part-invalid",
              content),
        _at_7("name", chat(SYSTEM, message("user", "Bag", name="Ann"), ANSWER),
              "api-message-key", "messages[1].name"),
        _at_7("extra key of a message",
              chat(SYSTEM, message("user", "Bag", id="a-1"), ANSWER),
              "extra-message-key", "messages[1].id"),
        _at_7("weight", answer("Hi", weight=1), "weight", "messages[2].weight"),
        _at_7("weight a fraction", answer("Hi", weight=0.5), "weight-invalid",
              "messages[2].weight"),
        _at_7("weight a text", answer("Hi", weight="1"), "weight-invalid",
              "messages[2].weight"),
        _at_7("weight of two", answer("Hi", weight=2), "weight-invalid",
              "messages[2].weight"),
        _at_7("weight of nothing for one answer of two",
              chat(SYSTEM, USER, message("assistant", "Hi", weight=0),
                   message("user", "And?"), message("assistant", "A bag.")),
              "weight", "messages[2].weight"),
        _at_7("weight on a question",
              chat(SYSTEM, message("user", "Bag", weight=0), ANSWER),
              "weight-not-assistant", "messages[1].weight"),
        Case("nothing weighs",
             with_line(answer("Hi", weight=0)), "weight-all-zero", 7, "messages",
             frozenset({"weight"})),
        _at_7("system in the middle", chat(USER, SYSTEM, ANSWER), "system-not-first",
              "messages[1].role"),
        _at_7("two systems", chat(SYSTEM, SYSTEM, USER, ANSWER), "roles-repeat",
              "messages[1].role"),
        _at_7("assistant first", chat(SYSTEM, ANSWER, USER, ANSWER), "user-not-first",
              "messages[1].role"),
        _at_7("two questions", chat(SYSTEM, USER, USER, ANSWER), "roles-repeat",
              "messages[2].role"),
        _at_7("two answers", chat(SYSTEM, USER, ANSWER, ANSWER), "roles-repeat",
              "messages[3].role"),
        _at_7("no answer", chat(SYSTEM, USER), "no-assistant", "messages"),
        _at_7("no question", chat(SYSTEM, ANSWER), "no-user", "messages"),
        _at_7("question last", chat(SYSTEM, USER, ANSWER, message("user", "More?")),
              "assistant-not-last", "messages[3].role"),
        _at_7("control token", answer("Hi<|im_end|>"), "special-token", content),
        _at_7("control token of Gemma", answer("Hi<end_of_turn>"), "special-token",
              content),
        _at_7("control token of DeepSeek", answer("<\uff5cUser\uff5c>"),
              "special-token", content),
        _at_7("control token of Llama 2", answer("Was </s> 49"), "special-token",
              content),
        _at_7("mark of Mistral", answer("A lamp [/INST] warm"), "special-token",
              content),
        _at_7("UTF-8 read as Windows-1252", answer("It\u00e2\u20ac\u2122s nice"),
              "mojibake", content),
        _at_7("UTF-8 read as Latin-1", answer("caf\u00c3\u00a9"), "mojibake", content),
        _at_7("Russian read as Windows-1252",
              answer("\u041b\u0430\u043c\u043f\u0430".encode().decode("cp1252")),
              "mojibake", content),
        _at_7("newline escaped twice", answer(r"It's nice\nand warm"), "literal-escape",
              content),
        _at_7("letter escaped twice", answer(r"caf\u00e9"), "literal-escape", content),
        _at_7("control character", answer("a bell\x07"), "control-character", content),
        _at_7("nothing but NaN", answer("NaN"), "null-word", content),
        _at_7("nothing but null", chat(SYSTEM, message("user", "NULL"), ANSWER),
              "null-word", "messages[1].content"),
        _at_7("answer is the question", chat(SYSTEM, USER, message("assistant", "bag")),
              "answer-is-question", content),
        _at_7("nothing that is seen", chat(SYSTEM, message("user", "\u200b\u2060"),
              ANSWER), "content-blank", "messages[1].content"),
        _at_7("e-mail address", answer("ask ann.lee@example.com"), "email-address",
              content),
        _at_7("phone number", answer("call +49 30 1234567"), "phone-number", content),
        _at_7("key of a cloud", answer("AKIA" + "IOSFODNN7EXAMPLE"), "secret", content),
        _at_7("private key", answer("-----BEGIN RSA PRIVATE" + " KEY-----\nMII"),
              "secret", content),
        _at_7("payment card", answer("card 4111 1111 1111 1111"), "payment-card",
              content),
        _at_7("bank account", answer("pay to DE89 3704 0044 0532 0130 00"), "iban",
              content),
        Case("HTML", with_line(answer("A <b>bag</b> &amp; more")), "html", 7, None),
        Case("HTML escaped by JSON", with_line(encoded(answer("A <b>bag")).replace(
             b"<", b"\\u003c")), "html", 7, None),
        Case("questions nearly equal", b"".join(lines(12)) + encoded(chat(
             message("user", "bag  NUMBER 7"), message("assistant", "Mine."))),
             "question-near", 13, "messages"),
        Case("one answer for all", b"".join(encoded(chat(message("user", f"Bag {n}"),
             message("assistant", "No description available."))) for n in range(12)),
             "answer-for-many", 1, "messages"),
        _at_7("escaped NUL", answer("a\0b"), "nul", content),
        _at_7("replacement character", answer("caf\ufffd"), "replacement-character",
              content),
    ]  # fmt: skip


def _tools() -> list[Case]:
    call = {
        "id": "abcdef123",
        "type": "function",
        "function": {"name": "f", "arguments": "1"},
    }
    asks = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = message("tool", "1", tool_call_id="abcdef123")
    return [
        Case("tool call", with_line(chat(SYSTEM, USER, asks, told, ANSWER)),
             "role-tool", 7, "messages[3].role",
             frozenset({"tool-key", "call-without-content"})),
    ]  # fmt: skip


def faulty() -> list[Case]:
    """Return the faulty files."""
    return [*_bytes_of_lines(), *_shapes(), *_messages(), *_tools()]


def clean() -> dict[str, bytes]:
    """Return files that every reader takes, by what is unusual in them."""

    def one(*messages: Json) -> bytes:
        return with_line(chat(*messages))

    def said(text: str) -> bytes:
        return one(SYSTEM, USER, message("assistant", text))

    spaced = json.dumps(chat(SYSTEM, USER, ANSWER)).encode() + b"\n"
    russian = chat(SYSTEM, message("user", "\u0441\u0443\u043c\u043a\u0430"), ANSWER)
    return {
        "ten examples": b"".join(lines(10)),
        "many examples": b"".join(lines(500)),
        "no system": one(USER, ANSWER),
        "no system anywhere": b"".join(
            encoded(chat(message("user", f"Bag {n}"), message("assistant", f"B {n}")))
            for n in range(12)
        ),
        "two turns": one(SYSTEM, USER, ANSWER, message("user", "And?"), ANSWER),
        "many turns": one(SYSTEM, *[USER, ANSWER] * 20),
        "blanks after commas": with_line(spaced),
        "blanks at both ends": with_line(b"  " + spaced.strip() + b" \t\n"),
        "content before role": with_line(
            chat(SYSTEM, {"content": "Bag", "role": "user"}, ANSWER)
        ),
        "escaped text": with_line(json.dumps(russian).encode() + b"\n"),
        "raw text": with_line(russian),
        "escaped pair of surrogates": with_line(_swapped(b"blue", b"\\ud83d\\ude00")),
        "escaped U+2028": with_line(_swapped(b"blue", b"a\\u2028b")),
        "emoji and right to left": said("\U0001f600 \u05ea\u05d9\u05e7 \u200f"),
        "quotes and backslashes": said('He said "no" \\ C:\\x\\'),
        "names of keys as text": said('"role": "user", "messages": []'),
        "role as text": one(SYSTEM, message("user", "role"), message("assistant", "x")),
        "angles that are no HTML": said("A bag | 5 < 6, R&D; <3 and <name>"),
        "paths and formulas": said(r"C:\new\table, \\nas\temp, \nabla and x\neq y"),
        "numbers of articles": said(
            "EAN 4006381333931, ISBN 978-3-16-148410-0, 0.1.2.3"
        ),
        "years and sizes": said(
            "1900-1983, 2024-05-01, 10 000 000 pieces, 1920 x 1080"
        ),
        "accents and quotes": said(
            "\u201eMEN\u00dc\u201c, \u00abCAF\u00c9\u00bb, NI\u00d1O\u2019S, \u00e2me"
        ),
        "a long word": said(
            "Donaudampfschifffahrtsgesellschaftskapit\u00e4n icon@2x.png"
        ),
        "no answer to a dash": one(SYSTEM, message("user", "-"), ANSWER),
        "tabs and newlines": said("\tA\n\n\tbag.\r\n"),
        "a date among texts": said("2026-01-01"),
        "one letter": said("a"),
        "same question, many answers": b"".join(
            encoded(chat(SYSTEM, USER, message("assistant", f"Bag {n}")))
            for n in range(12)
        ),
        "long text": said("word " * 20_000),
    }
