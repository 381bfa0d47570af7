"""A training pair as a line of JSON: pure functions, no input or output."""

from typing import TypeVar

import orjson

DEFAULT_SYSTEM_PROMPT = (
    "You write product descriptions. Given the title of a product, answer with "
    "its description and nothing else."
)

# JSON allows these three raw, but programs that split text with
# `str.splitlines` take them for line ends and shred the line (readers tried in
# November 2026).
_LINE_ENDS = {"\u2028": b"\\u2028", "\u2029": b"\\u2029", "\x85": b"\\u0085"}

Text = str | orjson.Fragment
AnyText = TypeVar("AnyText", str, orjson.Fragment)


def encoded(text: str) -> orjson.Fragment:
    """Return the text as JSON, to be put into any number of lines.

    Encoding a text once for both files takes a quarter of the time of two
    whole lines: 0.5 s in place of 1.9 s for 200,000 pairs of 1 kB.
    """
    data = orjson.dumps(text)
    if not text.isascii() and any(end in text for end in _LINE_ENDS):
        for end, escaped in _LINE_ENDS.items():
            data = data.replace(end.encode(), escaped)
    return orjson.Fragment(data)


def chat_line(*, system: Text | None, title: Text, description: Text) -> bytes:
    """Return the chat example of a pair as one line of JSON, LF included."""
    messages = chat_messages(
        None if system is None else _as_json(system),
        _as_json(title),
        _as_json(description),
    )
    return json_line({"messages": messages})


def _as_json(text: Text) -> orjson.Fragment:
    return encoded(text) if isinstance(text, str) else text


def chat_messages(
    system: AnyText | None, title: AnyText, description: AnyText
) -> list[dict[str, AnyText | str]]:
    """Return the messages of a pair; without a system prompt the user's is first."""
    messages: list[dict[str, AnyText | str]] = [
        {"role": "user", "content": title},
        {"role": "assistant", "content": description},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return messages


def json_line(value: object) -> bytes:
    """Return value as compact UTF-8 JSON with LF; its texts are `encoded`."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
