"""The fast path of the check: recognize clean lines, hundreds at a time."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import chain, starmap
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast

import msgspec

from exporter.chat import DIALECTS, SLOT, json_line
from exporter.checking.conversation import is_echo
from exporter.checking.lines import RAW_LINE_ENDS
from exporter.checking.texts import (
    INVISIBLE,
    NULL_ANSWERS,
    NULL_WORDS,
    is_invisible,
    may_have_harms,
    text_harms,
)

# The first character of a text that may be invisible; "" of an empty one.
_INVISIBLE_STARTS = INVISIBLE | {""}

# The system prompt (or None), the question and the answer of an example.
Texts = tuple[str | None, str, str]


def texts_of(messages: list[Any]) -> Texts:
    """Return the texts of the messages of a clean example."""
    prompt = messages[0]["content"] if len(messages) == 3 else None
    return prompt, messages[-2]["content"], messages[-1]["content"]


# A line end that is not between the } of one row and the { of the next. The objects
# of compact JSON meet nowhere else; a CR before the LF is a fault.
_NOT_BETWEEN_ROWS = re.compile(rb"\n(?:(?<!\}\n)|[^{])")


class _LineForm(NamedTuple):
    """The exact form of the exporter's lines in a dialect, with or without a prompt.

    `quotes` is how many double quotes each line has outside of its texts.
    """

    decode: Callable[[bytes], list[Any]]
    texts: Callable[[Any], tuple[str, ...]]
    quotes: int


class FastPath:
    """A quick test for lines of a dialect in which no rule can be broken."""

    def __init__(
        self, dialect: str = "messages", reserved: re.Pattern[str] | None = None
    ) -> None:
        self._forms = [_line_form(DIALECTS[dialect](system)) for system in (SLOT, None)]
        self._reserved = re.compile(reserved.pattern.encode()) if reserved else None

    def texts(self, lines: bytes) -> list[Texts] | None:
        """Return the texts of the lines if all are clean, or None if any may not be.

        A clean line has the exact form that the exporter writes, and its texts break
        no rule. Nearly every line is clean, so a few hundred are tested at once. For
        a single line the answer is exact.
        """
        for form in self._forms:
            try:
                rows: list[tuple[Any, ...]] = [*map(form.texts, form.decode(lines))]
            except (ValueError, RecursionError):
                continue
            if form is not self._forms[0]:
                self._forms.reverse()
            if not self._are_clean(lines, rows, form):
                break
            if len(rows[0]) == 2:
                rows = [(None, *row) for row in rows]
            return cast("list[Texts]", rows)
        return None

    def _are_clean(
        self, lines: bytes, rows: list[tuple[str, ...]], form: _LineForm
    ) -> bool:
        count = lines.count(b"\n") + (lines[-1:] != b"\n")
        if count != len(rows) or _NOT_BETWEEN_ROWS.search(lines):
            return False
        *prompts, questions, answers = zip(*rows, strict=True)
        # Nearly always all share one prompt, which is then tested once.
        prompt_counts = Counter(chain(*prompts))
        texts = [*prompt_counts, *questions, *answers]
        whole = "\n ".join(texts)
        data = whole.encode()
        quotes = count * form.quotes + whole.count('"')
        quotes += sum((n - 1) * p.count('"') for p, n in prompt_counts.items())
        stripped = [*map(str.strip, texts)]
        asked, answered = stripped[-2 * count : -count], stripped[-count:]
        return not (
            # More quotes than that: a key appears twice.
            lines.count(b'"') != quotes
            or any(end in whole and end.encode() in lines for end in RAW_LINE_ENDS)
            or (
                not _INVISIBLE_STARTS.isdisjoint({text[:1] for text in stripped})
                and any(map(is_invisible, texts))
            )
            or not NULL_WORDS.isdisjoint(stripped[:-count])
            or not NULL_ANSWERS.isdisjoint(answered)
            or any(starmap(is_echo, zip(asked, answered, strict=True)))
            or (self._reserved and self._reserved.search(data))
            or (
                may_have_harms(data)
                and (count > 1 or any(any(text_harms(text)) for text in texts))
            )
        )


def _line_form(template: dict[str, Any]) -> _LineForm:
    type_, paths = _struct_type(template, "")
    return _LineForm(
        msgspec.json.Decoder(type_).decode_lines,
        attrgetter(*paths),
        json_line(template).count(b'"') + 2 * len(paths),
    )


def _struct_type(value: Any, path: str) -> tuple[Any, list[str]]:  # noqa: ANN401
    """Return a type that only JSON like the template fits, and its texts' paths."""
    if isinstance(value, str):
        return Literal[value], []
    if not isinstance(value, dict | list):
        return str, [path]
    keys = value if isinstance(value, dict) else [f"item{n}" for n in range(len(value))]
    values = value.values() if isinstance(value, dict) else value
    prefix = f"{path}." if path else ""
    inner = [_struct_type(v, prefix + k) for k, v in zip(keys, values, strict=True)]
    struct = msgspec.defstruct(
        "Layout",
        [(key, type_) for key, (type_, _) in zip(keys, inner, strict=True)],
        array_like=isinstance(value, list),
        forbid_unknown_fields=True,
        gc=False,
    )
    return struct, [path for _, paths in inner for path in paths]
