"""Small chat files, each with one known fault, and others without any."""

import json
from typing import Any, NamedTuple

Json = Any


def message(role: Json, content: Json, **more: Json) -> dict[str, Json]:
    """Return a message; `more` are other keys."""
    return {"role": role, "content": content, **more}


SYSTEM = message("system", "You write product descriptions.")
USER = message("user", "Bag")
ANSWER = message("assistant", "A blue bag.")


def chat(*messages: Json, **more: Json) -> dict[str, Json]:
    """Return an example; `more` are other keys beside "messages"."""
    return {"messages": list(messages), **more}


def encoded(value: Json) -> bytes:
    """Return a value as one line of JSON, without escapes for Unicode."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def good(number: int) -> bytes:
    """Return an example that every reader accepts, a different one for each number."""
    question = message("user", f"Bag number {number}")
    return encoded(chat(SYSTEM, question, message("assistant", f"Bag {number}.")))


def lines(count: int) -> list[bytes]:
    """Return this many good lines."""
    return [good(number) for number in range(1, count + 1)]


def with_line(line: bytes | Json, *, at: int = 7, count: int = 12) -> bytes:
    """Return good lines, one of them replaced."""
    rows = lines(count)
    rows[at - 1] = line if isinstance(line, bytes) else encoded(line)
    return b"".join(rows)


def clean() -> dict[str, bytes]:
    """Return files that every reader accepts, by what is unusual in them."""

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
        "escaped pair of surrogates": with_line(swapped(b"blue", b"\\ud83d\\ude00")),
        "escaped U+2028": with_line(swapped(b"blue", b"a\\u2028b")),
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


class Case(NamedTuple):
    """A file, and the line and key where it breaks one rule."""

    name: str
    content: bytes
    rule: str
    line: int | None
    key: str | None
    also: frozenset[str] = frozenset()
    file: str = "train.jsonl"


RAW = encoded(chat(SYSTEM, USER, ANSWER))


def at_7(name: str, line: bytes | Json, rule: str, key: str | None = None) -> Case:
    return Case(name, with_line(line), rule, 7, key)


def swapped(old: bytes, new: bytes) -> bytes:
    assert old in RAW
    return RAW.replace(old, new, 1)
