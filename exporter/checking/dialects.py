"""Read the rows of every dialect as messages, so that the same rules apply to all."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from exporter.chat import DIALECTS, SLOT
from exporter.checking.conversation import conversation_faults, short
from exporter.checking.rules import Fault

_CONTENT = re.compile(r"messages\[(\d+)\](\.content)?")


class _Layout(NamedTuple):
    """The keys of a dialect for its turns, texts and prompt, and its names of roles.

    `fixed` are keys with the same value in every row.
    """

    turns: str
    texts: str
    system: str
    roles: dict[str, str]
    fixed: dict[str, str]


@cache
def _layout(dialect: str) -> _Layout:
    """Return the layout of a dialect, derived from the template of its lines."""
    template = DIALECTS[dialect](None)
    [system] = DIALECTS[dialect](SLOT).keys() - template.keys()
    turns = template[ROW_KEYS[dialect]]
    [texts] = turns[0].keys() - {"role"}
    roles = dict(zip([t["role"] for t in turns], ["user", "assistant"], strict=True))
    fixed = {key: value for key, value in template.items() if isinstance(value, str)}
    return _Layout(ROW_KEYS[dialect], texts, system, roles, fixed)


# The key by which a row of each dialect is recognized.
ROW_KEYS = {
    name: next(key for key, value in make(None).items() if not isinstance(value, str))
    for name, make in DIALECTS.items()
}
# Other keys that a row may have.
_OPTIONAL_KEYS = {"nova": {"toolConfig"}}
_API_KEYS = {"tools", "parallel_tool_calls", "functions"}
_PAIR = {"prompt": "user", "completion": "assistant"}


def wrapper_key(value: dict[str, Any]) -> str | None:
    """Return the key whose value is a list of rows, if the object has one."""
    for key, rows in value.items():
        first = rows[0] if isinstance(rows, list) and rows else None
        if isinstance(first, dict) and not first.keys().isdisjoint(ROW_KEYS.values()):
            return key
    return None


class Conversation:
    """The messages of a row, and the faults of the row with its own keys.

    `messages` has the form of the dialect "messages". A value of the wrong type is
    kept as it is.
    """

    def __init__(self, row: dict[str, Any], dialect: str) -> None:
        self.messages: Any = []
        self._faults: list[Fault] = []
        # For each message, the path of its turn in the row and that of its text.
        self._paths: list[tuple[str, str]] = []
        self._row_key = ROW_KEYS[dialect]
        if dialect == "messages":
            self.messages = row["messages"]
            self._report_extra_keys(row, {"messages"})
        elif dialect == "prompt-completion":
            self._read_pair(row)
        else:
            optional = _OPTIONAL_KEYS.get(dialect, set())
            self._read_turns(row, _layout(dialect), optional)

    def faults(self) -> Iterator[Fault]:
        """Yield the faults of the row's layout and of its conversation."""
        yield from self._faults
        for fault in conversation_faults(self.messages):
            yield fault._replace(key=self._path_in_row(fault.key or ""))

    def _report(self, key: str, what: str) -> None:
        self._faults.append(Fault("row-form", short(key), what))

    def _read_pair(self, row: dict[str, Any]) -> None:
        self._report_extra_keys(row, set(_PAIR))
        for key, role in _PAIR.items():
            self._paths.append((key, key))
            message = {"content": row[key]} if key in row else {}
            self.messages.append({"role": role, **message})

    def _read_turns(
        self, row: dict[str, Any], layout: _Layout, optional: set[str]
    ) -> None:
        known = {layout.turns, layout.system, *layout.fixed} | optional
        self._report_extra_keys(row, known)
        system, turns = row.get(layout.system), row.get(layout.turns)
        if system is not None:
            path = layout.system
            if isinstance(system, dict):
                path, system = f"{path}.{layout.texts}", system.get(layout.texts)
            self.messages.append({"role": "system", **self._text(system, path, path)})
        if not isinstance(turns, list):
            self.messages = turns
        else:
            for index, turn in enumerate(turns):
                self._read_turn(turn, f"{layout.turns}[{index}]", layout)
        for key, value in layout.fixed.items():
            if row.get(key) != value:
                self._report(key, f"not {value}")

    def _read_turn(self, turn: object, path: str, layout: _Layout) -> None:
        if not isinstance(turn, dict):
            self._paths.append((path, path))
            self.messages.append(turn)
            return
        message = {key: turn[key] for key in turn if key != layout.texts}
        role = turn.get("role")
        if isinstance(role, str):
            unknown = f"{role}, not in this dialect"
            message["role"] = layout.roles.get(role, unknown)
        text_path = f"{path}.{layout.texts}"
        if layout.texts in turn:
            message |= self._text(turn[layout.texts], path, text_path)
        else:
            self._paths.append((path, text_path))
        self.messages.append(message)

    def _text(self, parts: Any, path: str, text_path: str) -> dict[str, Any]:  # noqa: ANN401
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

    def _report_extra_keys(self, row: dict[str, Any], known: set[str]) -> None:
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
        return (text_path if found[2] else path) + key[found.end() :]
