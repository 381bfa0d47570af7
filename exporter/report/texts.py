"""Foreign text: what stands at its ends and in it, and as HTML and Markdown."""

import re
import unicodedata
import zlib
from itertools import groupby

from markupsafe import Markup, escape

from exporter.checking.texts import INVISIBLE, text_harms
from exporter.display import visible

# The beginning and the end of an answer: so many words, or characters at most.
_WORDS, _CHARACTERS = 4, 28

# Answers with the same six of all their words, chosen by a hash, are nearly the
# same: of two that share nine words in ten this finds half, of closer ones more.
_SKETCH = 6
_LOOKED_AT = 4_000
_PUNCTUATION = bytes(c for c in range(128) if not chr(c).isalnum())
_BLANKS = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))


# What was found by these rules is nobody's to read.
SECRET = {"secret", "payment-card", "iban"}


def readable(text: str) -> str:
    """Return the text, or a sentence in place of one that holds a likely secret."""
    if any(rule in SECRET for rule, _ in text_harms(text)):
        return "(not shown: a likely secret is in this text)"
    return text


def opening(answer: str) -> str:
    """Return the first words of an answer."""
    return " ".join(answer[: 2 * _CHARACTERS].split()[:_WORDS])[:_CHARACTERS]


def ending(answer: str) -> str:
    """Return the last words of an answer."""
    return " ".join(answer[-2 * _CHARACTERS :].split()[-_WORDS:])[-_CHARACTERS:]


def words(answer: str) -> set[bytes]:
    """Return the different words of an answer, three letters where it has no blanks."""
    text = answer[:_LOOKED_AT].lower()
    found = text.encode().translate(_BLANKS).split()
    if len(found) * 12 < len(text):
        return {text[n : n + 3].encode() for n in range(max(1, len(text) - 2))}
    return {*found}


def sketch(answer: str) -> tuple[int, ...]:
    """Return what two answers share if they are nearly the same."""
    return (*sorted(map(zlib.crc32, words(answer)))[:_SKETCH],)


def is_hidden(character: str) -> bool:
    """Say whether a character is not to be seen, other than a blank or a line end."""
    return character != "\n" and (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or (character in INVISIBLE and unicodedata.category(character) in ("Lo", "Mn"))
    )


def shown(text: object, most: int = 480) -> Markup:
    """Return text that stays in its cell, as HTML on one line.

    It is isolated, so that it cannot turn the order of what stands beside it, and
    clipped, with its length. What cannot be seen becomes an escape of its own look.
    """
    whole = str(text)
    start = whole[:most]
    # A mark at the beginning would sit on the letter before.
    parts = ["◌"] if start and unicodedata.category(start[0])[0] == "M" else []
    for hidden, characters in groupby(start, is_hidden):
        run = "".join(characters)
        if hidden:
            codes = "".join(c.encode("unicode_escape").decode() for c in run)
            parts.append(f"<i>{escape(codes)}</i>")
        else:
            parts.append(re.sub("\n+", "<br>", str(escape(run))))
    if len(whole) > most:
        parts.append(f" <small>… {len(whole):,} characters in all</small>")
    return Markup(f'<bdi dir="auto">{"".join(parts)}</bdi>')  # noqa: S704


def as_code(text: object, most: int = 80) -> Markup:
    """Return text as a code span in a table of Markdown, in which nothing is markup.

    No HTML, link, address, mention or reference can come of it.
    """
    one_line = visible(text)
    if len(one_line) > most:
        one_line = f"{one_line[:most]}… ({len(str(text)):,} characters)"
    longest = max(map(len, re.findall("`+", one_line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or one_line != one_line.strip() else ""
    inner = one_line.replace("|", "\\|") or " "
    return Markup(f"{fence}{pad}{inner}{pad}{fence}")  # noqa: S704
