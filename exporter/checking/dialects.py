"""Read the rows of every dialect as messages, so that the same rules apply to all."""

import re
from collections.abc import Iterator, Set
from functools import cache
from typing import Any, NamedTuple

from exporter.chat import DIALECTS, SLOT
from exporter.checking.conversation import conversation_faults, short
from exporter.checking.rules import Fault

_CONTENT = re.compile(r"messages\[(\d+)\](\.content)?")


class _Layout(NamedTuple):
    """The keys of a dialect for its turns, roles, texts and prompt.

    `system` is None where the prompt is a turn. `roles` are ours by the dialect's
    names. A text in `parts` is a list of objects.
    """

    turns: str
    role: str
    text: str
    parts: bool
    system: str | None
    roles: dict[str, str]


@cache
def _layout(dialect: str) -> _Layout:
    """Return the layout of a dialect, derived from the template of its lines."""
    template, prompted = DIALECTS[dialect](None), DIALECTS[dialect](SLOT)
    key = ROW_KEYS[dialect]
    system = next(iter(prompted.keys() - template.keys()), None)
    [role] = (k for k, value in template[key][0].items() if isinstance(value, str))
    [text] = template[key][0].keys() - {role}
    names = [turn[role] for turn in prompted[key]]
    ours = ["system", "user", "assistant"][-len(names) :]
    return _Layout(
        turns=key,
        role=role,
        text=text,
        parts=isinstance(template[key][0][text], list),
        system=system,
        roles=dict(zip(names, ours, strict=True)),
    )


@cache
def _flat_roles(dialect: str) -> dict[str, str]:
    """Return the role of the text at each key, or nothing if a row has turns."""
    template, prompted = DIALECTS[dialect](None), DIALECTS[dialect](SLOT)
    if isinstance(template[ROW_KEYS[dialect]], list):
        return {}
    pair = [key for key, value in template.items() if not isinstance(value, str)]
    roles = dict(zip(pair, ["user", "assistant"], strict=True))
    texts = {key for key, value in prompted.items() if not isinstance(value, str)}
    return dict.fromkeys(texts - roles.keys(), "system") | roles


@cache
def _fixed(dialect: str) -> dict[str, str]:
    """Return the keys with the same value in every row."""
    template, prompted = DIALECTS[dialect](None), DIALECTS[dialect](SLOT)
    texts = {key: value for key, value in template.items() if isinstance(value, str)}
    return {key: value for key, value in texts.items() if prompted.get(key) == value}


# The key by which a row of each dialect is recognized.
ROW_KEYS = {
    name: next(key for key, value in make(None).items() if not isinstance(value, str))
    for name, make in DIALECTS.items()
}
# Other keys that a row may have.
_OPTIONAL_KEYS = {"nova": {"toolConfig"}}
_API_KEYS = {"tools", "parallel_tool_calls", "functions"}


def wrapper_key(value: dict[str, Any]) -> str | None:
    """Return the key whose value is a list of rows, if the object has one."""
    for key, rows in value.items():
        first = rows[0] if isinstance(rows, list) and rows else None
        if isinstance(first, dict) and not first.keys().isdisjoint(ROW_KEYS.values()):
            return key
    return None


class RowConversation:
    """The messages of a row, and the faults of the row with its own keys.

    `messages` has the form of the dialect "messages". A value of the wrong type is
    kept as it is.
    """

    def __init__(self, row: dict[str, Any], dialect: str) -> None:
        self.messages: Any = []
        self._faults: list[Fault] = []
        # For each message, the path of its turn in the row and that of its text.
        self._paths: list[tuple[str, str]] = []
        self._row_key, self._role_key = ROW_KEYS[dialect], "role"
        known = _fixed(dialect).keys() | _OPTIONAL_KEYS.get(dialect, set())
        if dialect == "messages":
            self.messages = row["messages"]
            self._report_extra_keys(row, known | {"messages"})
        elif roles := _flat_roles(dialect):
            self._report_extra_keys(row, known | roles.keys())
            self._read_texts(row, roles)
        else:
            layout = _layout(dialect)
            self._report_extra_keys(row, known | {layout.turns, layout.system})
            self._read_turns(row, layout)
        for key, value in _fixed(dialect).items():
            if row.get(key) != value:
                self._report(key, f"not {value}")

    def faults(self) -> Iterator[Fault]:
        """Yield the faults of the row's layout and of its conversation."""
        yield from self._faults
        for fault in conversation_faults(self.messages):
            yield fault._replace(key=self._path_in_row(fault.key or ""))

    def _report(self, key: str, what: str) -> None:
        self._faults.append(Fault("row-form", short(key), what))

    def _read_texts(self, row: dict[str, Any], roles: dict[str, str]) -> None:
        for key, role in roles.items():
            if role == "system" and not row.get(key):
                continue
            self._paths.append((key, key))
            message = {"content": row[key]} if key in row else {}
            self.messages.append({"role": role, **message})

    def _read_turns(self, row: dict[str, Any], layout: _Layout) -> None:
        self._role_key = layout.role
        system = row.get(layout.system) if layout.system else None
        if layout.system and system is not None:
            path = layout.system
            if isinstance(system, dict):
                path, system = f"{path}.{layout.text}", system.get(layout.text)
            self.messages.append({"role": "system", **self._parts(system, path, path)})
        turns = row.get(layout.turns)
        if not isinstance(turns, list):
            self.messages = turns
        else:
            for index, turn in enumerate(turns):
                self._read_turn(turn, f"{layout.turns}[{index}]", layout)

    def _read_turn(self, turn: object, path: str, layout: _Layout) -> None:
        if not isinstance(turn, dict):
            self._paths.append((path, path))
            self.messages.append(turn)
            return
        message = {k: v for k, v in turn.items() if k not in (layout.role, layout.text)}
        if layout.role in turn:
            role = message["role"] = turn[layout.role]
            if isinstance(role, str):
                unknown = f"{role}, not in this dialect"
                message["role"] = layout.roles.get(role, unknown)
        text_path = f"{path}.{layout.text}"
        if layout.text in turn and layout.parts:
            message |= self._parts(turn[layout.text], path, text_path)
        else:
            self._paths.append((path, text_path))
            message |= {"content": turn[layout.text]} if layout.text in turn else {}
        self.messages.append(message)

    def _parts(self, parts: Any, path: str, text_path: str) -> dict[str, Any]:  # noqa: ANN401
        """Return the content of a message from a list of parts."""
        if isinstance(parts, str):
            self._report(text_path, "a string, not a list of parts")
        elif isinstance(parts, list):
            texts = [
                part.get("text") if isinstance(part, dict) else None for part in parts
            ]
            if len(texts) == 1 and isinstance(texts[0], str):
                parts, text_path = texts[0], f"{text_path}[0].text"
            else:
                parts = [
                    {"type": "text", "text": text}
                    if isinstance(part, dict) and "text" in part
                    else {"type": "image_url", "image_url": part}
                    for part, text in zip(parts, texts, strict=True)
                ]
        self._paths.append((path, text_path))
        return {"content": parts}

    def _report_extra_keys(self, row: dict[str, Any], known: Set[str | None]) -> None:
        for key in row.keys() - known:
            rule = "api-key" if key in _API_KEYS else "extra-key"
            self._faults.append(Fault(rule, short(key)))

    def _path_in_row(self, key: str) -> str:
        """Return the path in the row of a key such as messages[1].content."""
        found = _CONTENT.match(key)
        if not found:
            return self._row_key
        if not self._paths:
            return key
        path, text_path = self._paths[int(found[1])]
        rest = key[found.end() :]
        rest = f".{self._role_key}" if rest == ".role" else rest
        return (text_path if found[2] else path) + rest
