"""The quick look at lines that nothing is wrong with, as at nearly every one."""

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
    may_harm,
    text_harms,
)

# What a text may begin with that shows nothing.
_UNSEEN = INVISIBLE | {""}

# The prompt, if there is one, the question and the answer of a line.
Texts = tuple[str | None, str, str]


def texts_of(messages: list[Any]) -> Texts:
    """Return the texts of messages that are beyond doubt."""
    prompt = messages[0]["content"] if len(messages) == 3 else None
    return prompt, messages[-2]["content"], messages[-1]["content"]


# In JSON without blanks objects meet so only where one row ends and another begins;
# a CR before it is a fault.
_NOT_BETWEEN_ROWS = re.compile(rb"\n(?:(?<!\}\n)|[^{])")


class _Form(NamedTuple):
    """The one way to write an example in a dialect, with a prompt or without."""

    decode: Callable[[bytes], list[Any]]
    texts: Callable[[Any], tuple[str, ...]]
    quotes: int


class Plain:
    """The lines of a dialect that are beyond doubt."""

    def __init__(
        self, dialect: str = "messages", reserved: re.Pattern[str] | None = None
    ) -> None:
        self._forms = [_form(DIALECTS[dialect](system)) for system in (SLOT, None)]
        self._reserved = re.compile(reserved.pattern.encode()) if reserved else None

    def texts(self, lines: bytes) -> list[Texts] | None:
        """Return the texts of lines beyond doubt, or None to look closer.

        Beyond doubt is a line in the form that we write, with text in it that
        nothing is wrong with. This is the way of nearly every line, so all of a few
        hundred are asked at once; of a line alone the answer is exact.
        """
        for form in self._forms:
            try:
                rows: list[tuple[Any, ...]] = [*map(form.texts, form.decode(lines))]
            except (ValueError, RecursionError):
                continue
            if form is not self._forms[0]:
                self._forms.reverse()
            if not self._is_plain(lines, rows, form):
                break
            if len(rows[0]) == 2:
                rows = [(None, *row) for row in rows]
            return cast("list[Texts]", rows)
        return None

    def _is_plain(self, lines: bytes, rows: list[tuple[str, ...]], form: _Form) -> bool:
        count = lines.count(b"\n") + (lines[-1:] != b"\n")
        if count != len(rows) or _NOT_BETWEEN_ROWS.search(lines):
            return False
        *prompts, questions, answers = zip(*rows, strict=True)
        # Mostly all have one prompt.
        prompt = Counter(chain(*prompts))
        texts = [*prompt, *questions, *answers]
        whole = "\n ".join(texts)
        data = whole.encode()
        quotes = count * form.quotes + whole.count('"')
        quotes += sum((often - 1) * p.count('"') for p, often in prompt.items())
        words = [*map(str.strip, texts)]
        asked, said = words[-2 * count : -count], words[-count:]
        return not (
            # More quotes belong to a key that comes twice.
            lines.count(b'"') != quotes
            or any(end in whole and end.encode() in lines for end in RAW_LINE_ENDS)
            or (
                not _UNSEEN.isdisjoint({word[:1] for word in words})
                and any(map(is_invisible, texts))
            )
            or not NULL_WORDS.isdisjoint(words[:-count])
            or not NULL_ANSWERS.isdisjoint(said)
            or any(starmap(is_echo, zip(asked, said, strict=True)))
            or (self._reserved and self._reserved.search(data))
            or (
                may_harm(data)
                and (count > 1 or any(any(text_harms(text)) for text in texts))
            )
        )


def _form(template: dict[str, Any]) -> _Form:
    kind, places = _kind(template, "")
    return _Form(
        msgspec.json.Decoder(kind).decode_lines,
        attrgetter(*places),
        json_line(template).count(b'"') + 2 * len(places),
    )


def _kind(value: Any, place: str) -> tuple[Any, list[str]]:  # noqa: ANN401
    """Return the type of JSON in the form of a template, and where its texts are."""
    if isinstance(value, str):
        return Literal[value], []
    if not isinstance(value, dict | list):
        return str, [place]
    keys = value if isinstance(value, dict) else [f"item{n}" for n in range(len(value))]
    values = value.values() if isinstance(value, dict) else value
    below = f"{place}." if place else ""
    inner = [_kind(v, below + k) for k, v in zip(keys, values, strict=True)]
    kind = msgspec.defstruct(
        "Kind",
        [(key, kind) for key, (kind, _) in zip(keys, inner, strict=True)],
        array_like=isinstance(value, list),
        forbid_unknown_fields=True,
        gc=False,
    )
    return kind, [place for _, places in inner for place in places]
