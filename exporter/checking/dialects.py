"""Rows of another dialect read as messages, so that the same rules judge them."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from exporter.chat import DIALECTS, SLOT
from exporter.checking.conversation import conversation_faults, short
from exporter.checking.rules import Fault

_CONTENT = re.compile(r"messages\[(\d+)\](\.content)?")


class _Form(NamedTuple):
    """Where a dialect has its turns and their texts, and what it calls the roles.

    `fixed` are the keys that are the same on each line, with their values.
    """

    turns: str
    texts: str
    system: str
    roles: dict[str, str]
    fixed: dict[str, str]


@cache
def _form(dialect: str) -> _Form:
    """Return the form of a dialect, as the template of its lines has it."""
    template = DIALECTS[dialect](None)
    [system] = DIALECTS[dialect](SLOT).keys() - template.keys()
    turns = template[ROW_KEYS[dialect]]
    [texts] = turns[0].keys() - {"role"}
    roles = dict(zip([t["role"] for t in turns], ["user", "assistant"], strict=True))
    fixed = {key: value for key, value in template.items() if isinstance(value, str)}
    return _Form(ROW_KEYS[dialect], texts, system, roles, fixed)


# The key that a row of each dialect has.
ROW_KEYS = {
    name: next(key for key, value in make(None).items() if not isinstance(value, str))
    for name, make in DIALECTS.items()
}
# What else a row may have.
_MORE_KEYS = {"nova": {"toolConfig"}}
_API_KEYS = {"tools", "parallel_tool_calls", "functions"}
_PAIR = {"prompt": "user", "completion": "assistant"}


def wrapper_key(value: dict[str, Any]) -> str | None:
    """Return the key under which an object holds a list of rows, if it does."""
    for key, rows in value.items():
        first = rows[0] if isinstance(rows, list) and rows else None
        if isinstance(first, dict) and not first.keys().isdisjoint(ROW_KEYS.values()):
            return key
    return None


class Turns:
    """The messages of a row, and how its faults are called there.

    `messages` are ours: what the dialect has in their place is passed on as it is
    where it is not of the right kind.
    """

    def __init__(self, value: dict[str, Any], dialect: str) -> None:
        self.messages: Any = []
        self._faults: list[Fault] = []
        self._places: list[tuple[str, str]] = []
        self._whole = ROW_KEYS[dialect]
        if dialect == "messages":
            self.messages = value["messages"]
            self._report_extra(value, {"messages"})
        elif dialect == "prompt-completion":
            self._take_pair(value)
        else:
            more = _MORE_KEYS.get(dialect, set())
            self._take_turns(value, _form(dialect), more)

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with the form and with the conversation."""
        yield from self._faults
        for fault in conversation_faults(self.messages):
            yield fault._replace(key=self._place(fault.key or ""))

    def _report(self, key: str, what: str) -> None:
        self._faults.append(Fault("row-form", short(key), what))

    def _take_pair(self, value: dict[str, Any]) -> None:
        self._report_extra(value, set(_PAIR))
        for key, role in _PAIR.items():
            self._places.append((key, key))
            message = {"content": value[key]} if key in value else {}
            self.messages.append({"role": role, **message})

    def _take_turns(self, value: dict[str, Any], form: _Form, more: set[str]) -> None:
        self._report_extra(value, {form.turns, form.system, *form.fixed} | more)
        system, turns = value.get(form.system), value.get(form.turns)
        if system is not None:
            path = form.system
            if isinstance(system, dict):
                path, system = f"{path}.{form.texts}", system.get(form.texts)
            self.messages.append({"role": "system", **self._text(system, path, path)})
        if not isinstance(turns, list):
            self.messages = turns
        else:
            for place, turn in enumerate(turns):
                self._take(turn, f"{form.turns}[{place}]", form)
        for key, fixed in form.fixed.items():
            if value.get(key) != fixed:
                self._report(key, f"not {fixed}")

    def _take(self, turn: object, path: str, form: _Form) -> None:
        if not isinstance(turn, dict):
            self._places.append((path, path))
            self.messages.append(turn)
            return
        message = {key: turn[key] for key in turn if key != form.texts}
        role = turn.get("role")
        if isinstance(role, str):
            message["role"] = form.roles.get(role, f"{role}, which has no meaning here")
        below = f"{path}.{form.texts}"
        if form.texts in turn:
            message |= self._text(turn[form.texts], path, below)
        else:
            self._places.append((path, below))
        self.messages.append(message)

    def _text(self, parts: Any, path: str, below: str) -> dict[str, Any]:  # noqa: ANN401
        """Return the text of a list of parts as a message's content."""
        if isinstance(parts, str):
            self._report(below, "a text, not a list of texts")
        elif isinstance(parts, list):
            texts = [
                part.get("text") if isinstance(part, dict) else None for part in parts
            ]
            if len(texts) == 1 and isinstance(texts[0], str):
                parts, below = texts[0], f"{below}[0].text"
            else:
                parts = [
                    {"type": "text", "text": text}
                    if isinstance(part, dict) and "text" in part
                    else {"type": "image_url", "image_url": part}
                    for part, text in zip(parts, texts, strict=True)
                ]
        self._places.append((path, below))
        return {"content": parts}

    def _report_extra(self, value: dict[str, Any], known: set[str]) -> None:
        for key in value.keys() - known:
            rule = "api-key" if key in _API_KEYS else "extra-key"
            self._faults.append(Fault(rule, short(key)))

    def _place(self, key: str) -> str:
        found = _CONTENT.match(key)
        if not found:
            return self._whole
        if not self._places:
            return key
        path, below = self._places[int(found[1])]
        return (below if found[2] else path) + key[found.end() :]
