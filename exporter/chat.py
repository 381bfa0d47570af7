"""An example as a line of JSON: pure functions, no input or output."""

from typing import TypeVar

import orjson

# JSON allows these three raw, but programs that split text with
# `str.splitlines` take them for line ends and shred the line (readers tried in
# November 2026).
_LINE_ENDS = {"\u2028": b"\\u2028", "\u2029": b"\\u2029", "\x85": b"\\u0085"}

AnyText = TypeVar("AnyText", str, orjson.Fragment)


# Where a text of each example is put in: %b in the bytes of a template.
SLOT = orjson.Fragment(b"%b")

# The system prompt of all examples, SLOT where each has its own, or None.
Prompt = str | orjson.Fragment | None


def encoded(text: str) -> bytes:
    """Return the text as JSON, to be put into any number of lines."""
    data = orjson.dumps(text)
    # Most texts know that they are ASCII. In the others, written out and on the
    # text, line ends are found fastest: a third of the time of a loop, a seventh of
    # that of looking through the bytes.
    if text.isascii() or not ("\u2028" in text or "\u2029" in text or "\x85" in text):
        return data
    return on_one_line(data)


def on_one_line(data: bytes) -> bytes:
    """Return JSON with what some programs take for line ends escaped."""
    for end, escaped in _LINE_ENDS.items():
        data = data.replace(end.encode(), escaped)
    return data


def chat_line(*, system: str | None, title: str, description: str) -> bytes:
    """Return the example of a title and a description as one line, LF included."""
    return chat_template(system) % (encoded(title), encoded(description))


def chat_template(system: Prompt) -> bytes:
    """Return the line of an example with %b for its texts, LF included.

    These are the user's and the assistant's, and before them the system's if that
    is a SLOT. They are put in `encoded`: what all lines share is made only once.
    """
    if isinstance(system, str):
        system = orjson.Fragment(encoded(system).replace(b"%", b"%%"))
    return json_line({"messages": chat_messages(system, SLOT, SLOT)})


def chat_messages(
    system: AnyText | None, user: AnyText, assistant: AnyText
) -> list[dict[str, AnyText | str]]:
    """Return the messages of an example; without a prompt the user's is first."""
    messages: list[dict[str, AnyText | str]] = [
        {"role": "user", "content": user},
        {"role": "assistant", "content": assistant},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return messages


def json_line(value: object) -> bytes:
    """Return value as compact UTF-8 JSON with LF; its texts are `encoded`."""
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
