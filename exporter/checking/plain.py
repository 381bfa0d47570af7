"""The quick look at a line that nothing is wrong with, as at nearly every one."""

import re
from typing import Any

import orjson

from exporter.checking.texts import (
    ESCAPE,
    INVISIBLE,
    NULL_ANSWERS,
    NULL_WORDS,
    text_harms,
)

# The keys of nearly every example, shared so that comparing them is cheap.
PLAIN_KEYS = frozenset({"messages", "messages[].role", "messages[].content"})

_FORM = re.compile(
    rb"(\{.*\"content\": ?\")[^\"\\]*"
    rb"(\"\}, ?\{\"role\": ?\"assistant\", ?\"content\": ?\")[^\"\\]*(\"\}\]\}\n)"
)
_QUOTE, _BACKSLASH, _LESS, _AT, _UNDERSCORE, _TILDE = b'"\\<@_~'
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
# Digits as 0, and what stands between groups of them as a blank.
_KINDS = bytes.maketrans(b"123456789-./()", b"0" * 9 + b" " * 5)
_MAY_BE_NUMBER = re.compile(rb"0(?: {0,2}0){6}")
_MAY_BE_KEY = re.compile(
    rb"-(?:[A-Za-z0-9_-]{16}|[0-9]{10}|----BEGIN|proj|svca|admi|ant-)"
)
_MAY_BE_NAMED_KEY = re.compile(rb"_[A-Za-z0-9+/_-]{16}")
_MAY_BE_DOTTED_KEY = re.compile(rb"\.(?:[A-Za-z0-9_-]{16}|slack)")
_MAY_BE_CLOUD_KEY = re.compile(rb"A(?:[KS]IA[A-Z2-7]|Iza)")


Texts = tuple[str | None, str, str]


def texts_of(messages: list[Any]) -> Texts:
    """Return prompt, question and answer of the messages of a plain line."""
    prompt = messages[0]["content"] if len(messages) == 3 else None
    return prompt, messages[-2]["content"], messages[-1]["content"]


class Alike:
    """Lines that are written like one that was plain, all but for the texts.

    What stands around the texts is compared as bytes, and the texts hold nothing
    that JSON escapes: so they need not be parsed, which takes most of the time.
    """

    def __init__(self) -> None:
        self._head = self._middle = self._tail = b"\n"
        self._prompt: str | None = None
        self._lessons = 1_000

    def learn(self, line: bytes, messages: list[Any]) -> None:
        """Take the form of a plain line; not without end, where all differ."""
        if not self._lessons or _BACKSLASH in line or line.startswith(self._head):
            return
        self._lessons -= 1
        found = _FORM.fullmatch(line)
        if found:
            self._head, self._middle, self._tail = found.groups()
            self._prompt, _, _ = texts_of(messages)

    def texts(self, line: bytes, *, safe: bool) -> Texts | None:
        """Return the texts of a plain line like the one learned."""
        head, tail = self._head, self._tail
        if _BACKSLASH in line or not line.startswith(head) or not line.endswith(tail):
            return None
        asked, middle, said = line[len(head) : -len(tail)].partition(self._middle)
        if not middle or not asked or not said or _QUOTE in asked or _QUOTE in said:
            return None
        try:
            question, answer = asked.decode(), said.decode()
        except UnicodeDecodeError:
            return None
        # What is printable is no control character and no odd line end.
        if (
            not question.isprintable()
            or not answer.isprintable()
            or question.isspace()
            or answer.isspace()
            or question[0] in INVISIBLE
            or answer[0] in INVISIBLE
            or (_C3 in line and _MAY_BE_MOJIBAKE.search(line))
            or (_EF in line and _MAY_BE_ODD.search(line))
            or _says_nothing(question, answer)
            or not (safe or is_safe(line) or _is_harmless(question, answer))
        ):
            return None
        return self._prompt, question, answer


def _says_nothing(question: str, answer: str) -> bool:
    return (
        question in NULL_WORDS
        or answer in NULL_ANSWERS
        or (len(question) == len(answer) and question.lower() == answer.lower())
    )


def plain(line: bytes, *, safe: bool = False) -> list[Any] | None:  # noqa: PLR0911 - the cheapest way out
    """Return the messages of a line beyond doubt, or None to look closer.

    Beyond doubt is an optional system message, a user's and an assistant's,
    with the two keys each and text in them that nothing is wrong with. This is
    the way of nearly every line, so it asks the cheapest questions first: one
    byte, given as a number, is found ten times faster than two. `safe` says that
    `is_safe` has been asked.
    """
    try:
        value = orjson.loads(line)
        messages: list[Any] = value["messages"]
        user, assistant = messages[-2], messages[-1]
        question, answer = user["content"], assistant["content"]
        if (
            len(value) != 1
            or user["role"] != "user"
            or assistant["role"] != "assistant"
            or len(user) + len(assistant) != 4
            or not question
            or not answer
            or question.isspace()
            or answer.isspace()
        ):
            return None
        count = len(messages)
        prompt = ""
        if count == 3:
            system = messages[0]
            prompt = system["content"]
            if (
                system["role"] != "system"
                or len(system) != 2
                or not prompt
                or prompt.isspace()
            ):
                return None
        elif count != 2:
            return None
        escapes = _BACKSLASH in line
        if (escapes or not line.isascii()) and _is_odd(line, question, answer, prompt):
            return None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    # Two quotes for "messages" and eight for each message; more of them are
    # escaped in a text, or belong to a key that comes twice.
    quotes = line.count(b'"') - 2 - 8 * count
    if quotes and (quotes != line.count(b'\\"') or b'\\\\"' in line):
        return None
    if (
        line[-2:-1] == b"\r"
        or _says_nothing(question, answer)
        or not (safe or is_safe(line) or _is_harmless(question, answer, prompt))
    ):
        return None
    return messages


def _is_harmless(*texts: str) -> bool:
    return not any(next(text_harms(text), None) for text in texts)


def _is_odd(line: bytes, question: str, answer: str, prompt: str) -> bool:
    """Say whether a line with escapes or beyond ASCII asks for a closer look."""
    if question[0] in INVISIBLE or answer[0] in INVISIBLE:
        return True
    if _BACKSLASH in line and _MAY_BE_ESCAPE.search(line):
        text = question + answer + prompt
        if ESCAPE.search(text) or _ODD.search(text) or next(text_harms(text), None):
            return True
    return (
        (_C3 in line and _MAY_BE_MOJIBAKE.search(line) is not None)
        or (_C2 in line and _C1.search(line) is not None)
        or (_E2 in line and _LINE_END.search(line) is not None)
        or (_EF in line and _MAY_BE_ODD.search(line) is not None)
    )


def is_safe(lines: bytes) -> bool:
    """Say whether no line, of one or more, may hold a number, a key or a mark."""
    return not (
        _AT in lines
        or _DELETE in lines
        or _MAY_BE_NUMBER.search(lines.translate(_KINDS))
        or _MAY_BE_KEY.search(lines)
        or _MAY_BE_CLOUD_KEY.search(lines)
        or _MAY_BE_DOTTED_KEY.search(lines)
        or (_TILDE in lines and b"]~" in lines)
        or (_UNDERSCORE in lines and _MAY_BE_NAMED_KEY.search(lines))
        or (_J in lines and b"eyJ" in lines)
        or (_LESS in lines and _MAY_BE_TOKEN.search(lines))
        or _MAY_BE_MARK.search(lines)
    )
