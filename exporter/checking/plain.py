"""The quick look at a line that nothing is wrong with, as at nearly every one."""

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from exporter.chat import DIALECTS, NOVA_VERSION, SLOT, json_line
from exporter.checking.texts import (
    ESCAPE,
    INVISIBLE,
    NULL_ANSWERS,
    NULL_WORDS,
    may_hold_number,
    text_harms,
)

_BACKSLASH, _LESS, _AT, _UNDERSCORE, _TILDE = b"\\<@_~"
_J, _DELETE, _C2, _C3, _E2, _EF = b"J\x7f\xc2\xc3\xe2\xef"

# Cheap questions about a line of JSON in UTF-8: without these a text of it holds
# nothing of a kind.
_MAY_BE_TOKEN = re.compile(
    rb"<(?:[|<\xef]|/?s>|[a-z]{2,12}[_|:]|/?t(?:hink|ools)>|/tool|[BEPU][A-Z]{2}"
    rb"|(?:bos|eos|pad|unk|mask|sop|eop|eo[ah]|image|video|reponame)>|unused|SPECIAL)"
)
_MAY_BE_MARK = re.compile(
    rb"\[(?:\||/?(?:INST|TOOL|AVAIL|SYSTEM|THINK|CALL|ARGS|IMG|gMASK|sMASK|BOS|EO[ST]"
    rb"|PAD|UNK|PREF|MIDD|SUFF|BEGIN|AUDIO|TRANS|MODEL))"
)
_MAY_BE_MOJIBAKE = re.compile(
    rb"\xc3[\x82-\xb4](?:\xc2[\x80-\xbf]|\xc5[\x92\x93\xa0\xa1\xb8\xbd\xbe]|\xc6\x92"
    rb"|\xcb[\x86\x9c]|\xe2(?:\x80|\x82\xac|\x84\xa2))"
)
_ODD = re.compile("[\0\ufffd\uff5c]")
_MAY_BE_ODD = re.compile(rb"\xef(?:\xbf\xbd|\xbd\x9c)")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_LINE_END = re.compile(rb"\xe2\x80[\xa8\xa9]")
_MAY_BE_ESCAPE = re.compile(rb"\\[\\u]")
_MAY_BE_KEY = re.compile(
    rb"-(?:[A-Za-z0-9_-]{16}|[0-9]{10}|[0-9]-[A-Z0-9]{9}|----BEGIN|proj|svca"
    rb"|admi|ant-)"
)
_MAY_BE_NAMED_KEY = re.compile(rb"_[A-Za-z0-9+/_-]{16}")
_MAY_BE_DOTTED_KEY = re.compile(rb"\.(?:[A-Za-z0-9_-]{16}|slack)")
_MAY_BE_BOT_KEY = re.compile(rb":AA[A-Za-z0-9_-]{33}")
_VERSION = NOVA_VERSION.encode()
_MAY_BE_CLOUD_KEY = re.compile(rb"A(?:[KS]IA[A-Z2-7]|Iza)")


# The prompt, if there is one, the question and the answer of a line.
Texts = tuple[str | None, str, str]


def texts_of(messages: list[Any]) -> Texts:
    """Return the texts of messages that are beyond doubt."""
    prompt = messages[0]["content"] if len(messages) == 3 else None
    return prompt, messages[-2]["content"], messages[-1]["content"]


class _Form(NamedTuple):
    """The one way to write an example in a dialect, with a prompt or without."""

    decode: Callable[[bytes], Any]
    texts: Callable[[Any], tuple[str, ...]]
    quotes: int


class Plain:
    """The lines of a dialect that are beyond doubt."""

    def __init__(
        self, dialect: str = "messages", reserved: re.Pattern[str] | None = None
    ) -> None:
        self._forms = [_form(DIALECTS[dialect](system)) for system in (SLOT, None)]
        self._reserved = reserved
        self._raw = re.compile(reserved.pattern.encode()) if reserved else None

    def is_safe(self, lines: bytes) -> bool:
        """Say whether no line, of one or more, may hold a number, a key or a mark."""
        lines = lines.replace(_VERSION, b"")  # Nova's looks like a key.
        return not (
            _AT in lines
            or _DELETE in lines
            or may_hold_number(lines)
            or _MAY_BE_KEY.search(lines)
            or _MAY_BE_CLOUD_KEY.search(lines)
            or _MAY_BE_DOTTED_KEY.search(lines)
            or _MAY_BE_BOT_KEY.search(lines)
            or (_TILDE in lines and b"]~" in lines)
            or (_UNDERSCORE in lines and _MAY_BE_NAMED_KEY.search(lines))
            or (_J in lines and b"eyJ" in lines)
            or (_LESS in lines and _MAY_BE_TOKEN.search(lines))
            or _MAY_BE_MARK.search(lines)
            or (self._raw and self._raw.search(lines))
        )

    def texts(self, line: bytes, *, safe: bool = False) -> Texts | None:
        """Return the texts of a line beyond doubt, or None to look closer.

        Beyond doubt is a line in the form that we write, with text in it that
        nothing is wrong with. This is the way of nearly every line, so it asks the
        cheapest questions first: one byte, given as a number, is found ten times
        faster than two. `safe` says that `is_safe` has been asked.
        """
        form = self._forms[0]
        try:
            texts = form.texts(form.decode(line))
        except (ValueError, RecursionError):
            form = self._forms[1]
            try:
                texts = form.texts(form.decode(line))
            except (ValueError, RecursionError):
                return None
            self._forms.reverse()
        # More quotes are escaped in a text, or belong to a key that comes twice.
        quotes = line.count(b'"') - form.quotes
        odd = _BACKSLASH in line or not line.isascii()
        if (
            (quotes and (quotes != line.count(b'\\"') or b'\\\\"' in line))
            or line[-2:-1] == b"\r"
            or "" in texts
            or any(map(str.isspace, texts))
            or (odd and self._is_odd(line, texts))
            or _says_nothing(*texts[-2:])
            or not (safe or self.is_safe(line) or self._is_harmless(*texts))
        ):
            return None
        return texts if len(texts) == 3 else (None, *texts)  # type: ignore[return-value]

    def _is_harmless(self, *texts: str) -> bool:
        return not any(
            (self._reserved and self._reserved.search(text))
            or next(text_harms(text), None)
            for text in texts
        )

    def _is_odd(self, line: bytes, texts: tuple[str, ...]) -> bool:
        """Say whether a line with escapes or beyond ASCII asks for a closer look."""
        if any(text[0] in INVISIBLE for text in texts):
            return True
        if _BACKSLASH in line and _MAY_BE_ESCAPE.search(line):
            text = "".join(texts)
            if ESCAPE.search(text) or _ODD.search(text) or not self._is_harmless(text):
                return True
        return (
            (_C3 in line and _MAY_BE_MOJIBAKE.search(line) is not None)
            or (_C2 in line and _C1.search(line) is not None)
            or (_E2 in line and _LINE_END.search(line) is not None)
            or (_EF in line and _MAY_BE_ODD.search(line) is not None)
        )


def _form(template: dict[str, Any]) -> _Form:
    kind, places = _kind(template, "")
    return _Form(
        msgspec.json.Decoder(kind).decode,
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


def _says_nothing(question: str, answer: str) -> bool:
    return (
        question in NULL_WORDS
        or answer in NULL_ANSWERS
        or (len(question) == len(answer) and question.lower() == answer.lower())
    )
