"""A conversation and the rules it breaks: pure, no input or output."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from exporter.checking.texts import NULL_ANSWERS, NULL_WORDS, is_invisible

_KNOWN_ROLES = {"system", "user", "assistant"}
_OTHER_ROLES = {"developer", "tool", "function"}
_API_MESSAGE_KEYS = {
    "name": "api-message-key",
    "function_call": "api-message-key",
    "refusal": "api-message-key",
    "audio": "api-message-key",
    "tool_calls": "tool-key",
    "tool_call_id": "tool-key",
}
_CALL_KEYS = {"tool_calls", "function_call"}
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
_PARTS = {"image_url": "content-image", "text": "content-parts"}


class Fault(NamedTuple):
    """A rule that a line breaks, where in the line, and what was found there."""

    rule: str
    key: str | None = None
    detail: str = ""


class Repeating(dict[str, Any]):
    """A JSON object some of whose keys came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as an object; json's `object_pairs_hook`."""
    value = dict(pairs)
    return value if len(value) == len(pairs) else Repeating(pairs)


def repeated_keys(value: dict[str, Any], path: str) -> Iterator[Fault]:
    """Yield a fault for each key that came twice; `path` is put before it."""
    if isinstance(value, Repeating):
        for name in value.repeated:
            yield Fault("duplicate-key", f"{path}{short(name)}")


def conversation_faults(messages: object) -> Iterator[Fault]:
    """Yield the rules that the value of "messages" breaks."""
    if not isinstance(messages, list):
        yield Fault("messages-not-list", "messages", kind_of(messages))
    elif not messages:
        yield Fault("messages-empty", "messages")
    else:
        for place, message in enumerate(messages):
            yield from _message_faults(message, f"messages[{place}]")
        yield from _order_faults(messages)
        yield from _echo_faults(messages)
        yield from _weight_faults(messages)


def _message_faults(message: object, path: str) -> Iterator[Fault]:
    if not isinstance(message, dict):
        yield Fault("message-not-object", path, kind_of(message))
        return
    yield from repeated_keys(message, f"{path}.")
    role = message.get("role")
    near = {key: written_otherwise(key, message) for key in ("role", "content")}
    if near["role"] is not None:
        yield Fault("key-case", f"{path}.{short(near['role'])}", short(near["role"]))
    elif "role" not in message:
        yield Fault("role-missing", f"{path}.role")
    elif not isinstance(role, str):
        yield Fault("role-not-string", f"{path}.role", kind_of(role))
    elif role in _OTHER_ROLES:
        yield Fault(f"role-{role}", f"{path}.role")
    elif role not in _KNOWN_ROLES:
        yield Fault("role-unknown", f"{path}.role", short(role))
    if near["content"] is not None:
        found = short(near["content"])
        yield Fault("key-case", f"{path}.{found}", found)
    else:
        yield from _content_faults(message, f"{path}.content")
    for key in message.keys() - near.values():
        if key in _API_MESSAGE_KEYS:
            yield Fault(_API_MESSAGE_KEYS[key], f"{path}.{key}")
        elif key not in {"role", "content", "weight"}:
            yield Fault("extra-message-key", f"{path}.{short(key)}")


def _content_faults(message: dict[str, Any], path: str) -> Iterator[Fault]:
    content = message.get("content")
    if content is None:
        if any(message.get(key) for key in _CALL_KEYS):
            yield Fault("call-without-content", path)
        else:
            rule = "content-null" if "content" in message else "content-missing"
            yield Fault(rule, path)
    elif isinstance(content, str):
        if not content:
            answer = message.get("role") == "assistant"
            yield Fault("answer-empty" if answer else "content-empty", path)
        elif is_invisible(content):
            yield Fault("content-blank", path)
        elif content.strip() in (
            NULL_ANSWERS if message.get("role") == "assistant" else NULL_WORDS
        ):
            yield Fault("null-word", path, short(content))
    elif not isinstance(content, list):
        yield Fault("content-not-string", path, kind_of(content))
    elif not content:
        yield Fault("content-list-empty", path)
    else:
        kinds = {_part_rule(part) for part in content}
        for rule in sorted(kinds - ({"content-parts"} if len(kinds) > 1 else set())):
            yield Fault(rule, path)


def _part_rule(part: object) -> str:
    if not isinstance(part, dict):
        return "content-part-invalid"
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in part or kind not in _PARTS:
        return "content-part-invalid"
    if kind == "text" and not isinstance(part["text"], str):
        return "content-part-invalid"
    return _PARTS[kind]


def _order_faults(messages: list[Any]) -> Iterator[Fault]:
    given = [m.get("role") if isinstance(m, dict) else None for m in messages]
    roles = [role if isinstance(role, str) else "" for role in given]
    for place in range(1, len(roles)):
        if roles[place] == roles[place - 1] and roles[place] in _KNOWN_ROLES:
            yield Fault("roles-repeat", f"messages[{place}].role", roles[place])
        elif roles[place] == "system":
            yield Fault("system-not-first", f"messages[{place}].role")
    turns = [place for place, role in enumerate(roles) if role != "system"]
    unclear = "" in roles
    if "user" not in roles and not unclear:
        yield Fault("no-user", "messages")
    elif turns and roles[turns[0]] == "assistant":
        yield Fault("user-not-first", f"messages[{turns[0]}].role")
    if "assistant" not in roles and not unclear:
        yield Fault("no-assistant", "messages")
    elif roles[-1] not in {"assistant", ""}:
        yield Fault("assistant-not-last", f"messages[{len(roles) - 1}].role")


def _echo_faults(messages: list[Any]) -> Iterator[Fault]:
    texts = [m.get("content") if isinstance(m, dict) else None for m in messages]
    for place in range(1, len(texts)):
        asked, said = texts[place - 1], texts[place]
        if (
            isinstance(asked, str)
            and asked
            and isinstance(said, str)
            and messages[place - 1].get("role") == "user"
            and messages[place].get("role") == "assistant"
            and is_echo(asked.strip(), said.strip())
        ):
            yield Fault("answer-is-question", f"messages[{place}].content")


def is_echo(asked: str, said: str) -> bool:
    """Say whether two texts are the same but for case."""
    return len(asked) == len(said) and asked.lower() == said.lower()


def _weight_faults(messages: list[Any]) -> Iterator[Fault]:
    answers = []
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        weight = message.get("weight", 1)
        path = f"messages[{place}].weight"
        if message.get("role") == "assistant":
            answers.append(weight)
        if "weight" in message:
            # `parse_int` makes 1 and 1.0 alike; true and "1" stay what they are.
            if type(weight) is not float or weight not in {0, 1}:
                yield Fault("weight-invalid", path, short(weight))
            elif message.get("role") != "assistant":
                yield Fault("weight-not-assistant", path)
            else:
                yield Fault("weight", path)
    if answers and not any(answers):
        yield Fault("weight-all-zero", "messages")


def written_otherwise(key: str, value: dict[str, Any]) -> str | None:
    """Return the key that stands in its place in capitals or with blanks."""
    if key in value:
        return None
    return next((near for near in value if near.strip().lower() == key), None)


def kind_of(value: object) -> str:
    """Return what JSON calls the kind of the value."""
    if value is None:
        return "null"
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    return "a number"


def short(value: object) -> str:
    """Return a value on one printable line of at most 40 characters."""
    text = value if isinstance(value, str) else str(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:41])
    return text if len(text) <= 40 else f"{text[:37]}..."
