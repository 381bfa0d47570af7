"""A training pair as a line of JSON: pure functions, no input or output."""

import orjson

DEFAULT_SYSTEM_PROMPT = (
    "You write product descriptions. Given the title of a product, answer with "
    "its description and nothing else."
)

# JSON allows these three raw, but programs that split text with
# `str.splitlines` take them for line ends and shred the line (readers tried in
# November 2026). As UTF-8 they cannot occur inside another character.
_LINE_ENDS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def chat_line(*, system: str | None, title: str, description: str) -> bytes:
    """Return the chat example of a pair as one line of JSON, LF included."""
    return json_line({"messages": chat_messages(system, title, description)})


def chat_messages(
    system: str | None, title: str, description: str
) -> list[dict[str, str]]:
    """Return the messages of a pair; without a system prompt the user's is first."""
    messages = [
        {"role": "user", "content": title},
        {"role": "assistant", "content": description},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return messages


def json_line(value: object) -> bytes:
    """Return value as compact UTF-8 JSON on one line, whoever splits it."""
    line = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    for raw, escaped in _LINE_ENDS:
        if raw in line:
            line = line.replace(raw, escaped)
    return line
