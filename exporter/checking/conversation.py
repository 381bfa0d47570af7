"""Check a conversation. Pure functions, no input or output."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from exporter.checking.rules import Fault
from exporter.checking.texts import INVISIBLE, NULL_ANSWERS, NULL_WORDS, is_invisible

_KNOWN_ROLES = {"system", "user", "assistant"}
_OTHER_ROLES = {"developer", "tool", "function"}
_API_MESSAGE_KEYS = {
    **dict.fromkeys(["name", "function_call", "refusal", "audio"], "api-message-key"),
    **dict.fromkeys(["tool_calls", "tool_call_id"], "tool-key"),
}
_CALL_KEYS = {"tool_calls", "function_call"}
_INVISIBLE = "".join(INVISIBLE)
_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
_PARTS = {"image_url": "content-image", "text": "content-parts"}


class DuplicateKeys(dict[str, Any]):
    """A JSON object in which some keys appear twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.repeated = [name for name, count in counts.items() if count > 1]


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as an object; json's `object_pairs_hook`."""
    value = dict(pairs)
    return value if len(value) == len(pairs) else DuplicateKeys(pairs)


def duplicate_keys(value: dict[str, Any], prefix: str) -> Iterator[Fault]:
    """Yield a fault for each key that appears twice."""
    if isinstance(value, DuplicateKeys):
        for name in value.repeated:
            yield Fault("duplicate-key", f"{prefix}{short(name)}")


def conversation_faults(messages: object) -> Iterator[Fault]:
    """Yield the faults of the value of "messages"."""
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        yield Fault("messages-encoded", "messages")
    elif not isinstance(messages, list):
        yield Fault("messages-not-list", "messages", kind_of(messages))
    elif not messages:
        yield Fault("messages-empty", "messages")
    else:
        for index, message in enumerate(messages):
            yield from _message_faults(message, f"messages[{index}]")
        yield from _order_faults(messages)
        yield from _echo_faults(messages)
        yield from _weight_faults(messages)


def _message_faults(message: object, path: str) -> Iterator[Fault]:
    if not isinstance(message, dict):
        yield Fault("message-not-object", path, kind_of(message))
        return
    yield from duplicate_keys(message, f"{path}.")
    misspelled = {key: misspelled_key(key, message) for key in ("role", "content")}
    for found in filter(None, misspelled.values()):
        yield Fault("key-case", f"{path}.{short(found)}", short(found))
    if misspelled["role"] is None:
        yield from _role_faults(message, f"{path}.role")
    if misspelled["content"] is None:
        yield from _content_faults(message, f"{path}.content")
    for key in message.keys() - misspelled.values():
        if key in _API_MESSAGE_KEYS:
            yield Fault(_API_MESSAGE_KEYS[key], f"{path}.{key}")
        elif key not in {"role", "content", "weight"}:
            yield Fault("extra-message-key", f"{path}.{short(key)}")


def _role_faults(message: dict[str, Any], path: str) -> Iterator[Fault]:
    role = message.get("role")
    if "role" not in message:
        yield Fault("role-missing", path)
    elif not isinstance(role, str):
        yield Fault("role-not-string", path, kind_of(role))
    elif role in _OTHER_ROLES:
        yield Fault(f"role-{role}", path)
    elif role not in _KNOWN_ROLES:
        misspelled = _normalized(role) in _KNOWN_ROLES
        yield Fault("role-case" if misspelled else "role-unknown", path, short(role))


def _content_faults(message: dict[str, Any], path: str) -> Iterator[Fault]:
    content = message.get("content")
    if content in (None, "") and any(message.get(key) for key in _CALL_KEYS):
        yield Fault("call-without-content", path)
    elif content is None:
        yield Fault("content-null" if "content" in message else "content-missing", path)
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
    # An unknown role may be another word for any of the known ones.
    known = _KNOWN_ROLES | _OTHER_ROLES
    roles = [role if isinstance(role, str) and role in known else "" for role in given]
    for index in range(1, len(roles)):
        if roles[index] == roles[index - 1] and roles[index] in _KNOWN_ROLES:
            yield Fault("roles-repeat", f"messages[{index}].role", roles[index])
        elif roles[index] == "system":
            yield Fault("system-not-first", f"messages[{index}].role")
    turns = [index for index, role in enumerate(roles) if role != "system"]
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
    for index in range(1, len(texts)):
        question, answer = texts[index - 1], texts[index]
        if (
            isinstance(question, str)
            and question
            and isinstance(answer, str)
            and messages[index - 1].get("role") == "user"
            and messages[index].get("role") == "assistant"
            and is_echo(question.strip(), answer.strip())
        ):
            yield Fault("answer-is-question", f"messages[{index}].content")


def is_echo(question: str, answer: str) -> bool:
    """Return whether two texts are equal except for case."""
    return len(question) == len(answer) and question.lower() == answer.lower()


def _weight_faults(messages: list[Any]) -> Iterator[Fault]:
    answers = []
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        weight = message.get("weight", 1)
        path = f"messages[{index}].weight"
        if message.get("role") == "assistant":
            answers.append(weight)
        if "weight" in message:
            # The parser reads 1 and 1.0 alike as a float, but not true and "1".
            if type(weight) is not float or weight not in {0, 1}:
                text = weight if type(weight) is str else json.dumps(weight)
                yield Fault("weight-invalid", path, short(text.removesuffix(".0")))
            elif message.get("role") != "assistant":
                yield Fault("weight-not-assistant", path)
            else:
                yield Fault("weight", path)
    if answers and all(type(weight) is float and not weight for weight in answers):
        yield Fault("weight-all-zero", "messages")


def misspelled_key(key: str, value: dict[str, Any]) -> str | None:
    """Return the key that differs from a missing one by case or blanks only."""
    if key in value:
        return None
    return next((found for found in value if _normalized(found) == key), None)


def _normalized(name: str) -> str:
    """Return a name in lower case, without invisible characters around it."""
    return name.strip(_INVISIBLE).lower()


def kind_of(value: object) -> str:
    """Return the JSON type of a value, in words."""
    if value is None:
        return "null"
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    return "a number"


def short(value: object) -> str:
    """Return a value as one printable line of at most 40 characters."""
    text = value if isinstance(value, str) else str(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[:41])
    return text if len(text) <= 40 else f"{text[:37]}..."
