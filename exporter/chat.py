"""An example as a line of JSON: pure functions, no input or output."""

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

# JSON allows these three raw, but programs that split text with
# `str.splitlines` take them for line ends and shred the line (readers tried in
# November 2026).
_LINE_ENDS = {"\u2028": b"\\u2028", "\u2029": b"\\u2029", "\x85": b"\\u0085"}

AnyText = TypeVar("AnyText", str, orjson.Fragment)


# Where a text of each example is put in: %b in the bytes of a template.
SLOT = orjson.Fragment(b"%b")

NOVA_VERSION = "bedrock-conversation-2024"

# Between two texts that become one; no text in JSON holds a raw NUL.
_JOINT = b'"\0"'

Row = dict[str, Any]

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


def chat_line(
    *, system: str | None, title: str, description: str, dialect: str = "messages"
) -> bytes:
    """Return the example of a title and a description as one line, LF included."""
    template = chat_template(system, dialect)
    return joined(template % (encoded(title), encoded(description)))


def chat_template(system: Prompt, dialect: str = "messages") -> bytes:
    """Return the line of an example with %b for its texts, LF included.

    These are the user's and the assistant's, and before them the system's if that
    is a SLOT. They are put in `encoded`: what all lines share is made only once.
    The line of a `prompt-completion` must be `joined` then.
    """
    if isinstance(system, str):
        system = orjson.Fragment(encoded(system).replace(b"%", b"%%"))
    return json_line(DIALECTS[dialect](system))


def joined(line: bytes) -> bytes:
    """Return the line with a prompt and a question as the one text that they are."""
    return line.replace(_JOINT, b"\\n\\n", 1)


def _messages(system: orjson.Fragment | None) -> Row:
    return {"messages": chat_messages(system, SLOT, SLOT)}


def _gemini(system: orjson.Fragment | None) -> Row:
    turns = {"user": SLOT, "model": SLOT}
    row = {"contents": [{"role": r, "parts": [{"text": t}]} for r, t in turns.items()]}
    if system is None:
        return row
    return {"systemInstruction": {"role": "system", "parts": [{"text": system}]}, **row}


def _nova(system: orjson.Fragment | None) -> Row:
    turns = {"user": SLOT, "assistant": SLOT}
    return {
        "schemaVersion": NOVA_VERSION,
        **({} if system is None else {"system": [{"text": system}]}),
        "messages": [{"role": r, "content": [{"text": t}]} for r, t in turns.items()],
    }


def _prompt_completion(system: orjson.Fragment | None) -> Row:
    # It has no place for a system prompt, which goes before the question.
    prompt = b"" if system is None else orjson.dumps(system) + b"\0"
    return {"prompt": orjson.Fragment(prompt + b"%b"), "completion": SLOT}


# The forms of a row; each makes the template of its lines.
DIALECTS: dict[str, Callable[[orjson.Fragment | None], Row]] = {
    "messages": _messages,
    "gemini": _gemini,
    "nova": _nova,
    "prompt-completion": _prompt_completion,
}


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
