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

AnyText = TypeVar("AnyText", str, orjson.Fragment)


def encoded(text: str) -> bytes:
    """Return the text as JSON, to be put into any number of lines."""
    data = orjson.dumps(text)
    # Written out, and on the text, where they are found fastest: a third of the
    # time of a loop, a seventh of that of looking through the bytes.
    if "\u2028" in text or "\u2029" in text or "\x85" in text:
        for end, escaped in _LINE_ENDS.items():
            data = data.replace(end.encode(), escaped)
    return data


def chat_line(*, system: str | None, title: str, description: str) -> bytes:
    """Return the chat example of a pair as one line of JSON, LF included."""
    return chat_template(system) % (encoded(title), encoded(description))


def chat_template(system: str | None) -> bytes:
    """Return the line of an example with %b for its title and its description.

    Both are put in `encoded`: what all lines share is made only once.
    """
    slot = orjson.Fragment(b"%b")
    prompt = None
    if system is not None:
        prompt = orjson.Fragment(encoded(system).replace(b"%", b"%%"))
    return json_line({"messages": chat_messages(prompt, slot, slot)})


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
