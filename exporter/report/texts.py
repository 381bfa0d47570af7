"""Foreign text in the report: its opening, ending and words; as HTML and Markdown."""

import re
import unicodedata
import zlib
from itertools import groupby

from markupsafe import Markup, escape

from exporter.checking.texts import INVISIBLE, text_harms
from exporter.display import visible

# The opening and the ending of an answer have at most this many words and characters.
_WORDS, _CHARACTERS = 4, 28

# Answers with the same six smallest hashes of their words nearly repeat each other.
# This finds half of the pairs that share nine words in ten, and more of closer ones.
_HASHES = 6
_HASHED_CHARACTERS = 4_000
_PUNCTUATION = bytes(c for c in range(128) if not chr(c).isalnum())
_BLANKS = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))


# The report shows no text in which one of these rules finds something.
SECRET = {"secret", "payment-card", "iban"}


def redacted(text: str) -> str:
    """Return the text, or a sentence instead of it if it contains a likely secret."""
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
    """Return the different words of an answer, or its trigrams if it has no blanks."""
    text = answer[:_HASHED_CHARACTERS].lower()
    found = text.encode().translate(_BLANKS).split()
    if len(found) * 12 < len(text):
        return {text[n : n + 3].encode() for n in range(max(1, len(text) - 2))}
    return {*found}


def minhash(answer: str) -> tuple[int, ...]:
    """Return the smallest hashes of the words, equal for answers that nearly repeat."""
    return (*sorted(map(zlib.crc32, words(answer)))[:_HASHES],)


def is_invisible(character: str) -> bool:
    """Return whether a character is invisible and neither a blank nor a line end."""
    return character != "\n" and (
        unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        or (character in INVISIBLE and unicodedata.category(character) in ("Lo", "Mn"))
    )


def as_html(text: object, most: int = 480) -> Markup:
    """Return text as HTML on one line that cannot affect what is around it.

    It is isolated, so that it cannot reverse the order of the letters beside it. A
    longer text is clipped and its length added. Invisible characters become escapes.
    """
    whole = str(text)
    start = whole[:most]
    # A combining mark at the beginning would combine with the letter before.
    parts = ["◌"] if start and unicodedata.category(start[0])[0] == "M" else []
    for invisible, characters in groupby(start, is_invisible):
        run = "".join(characters)
        if invisible:
            codes = "".join(c.encode("unicode_escape").decode() for c in run)
            parts.append(f"<i>{escape(codes)}</i>")
        else:
            parts.append(re.sub("\n+", "<br>", str(escape(run))))
    if len(whole) > most:
        parts.append(f" <small>… {len(whole):,} characters in all</small>")
    return Markup(f'<bdi dir="auto">{"".join(parts)}</bdi>')  # noqa: S704


def as_code(text: object, most: int = 80) -> Markup:
    """Return text as a code span for a table of Markdown, in which nothing is markup.

    No HTML, link, address, mention or reference can result from it.
    """
    one_line = visible(text)
    if len(one_line) > most:
        one_line = f"{one_line[:most]}… ({len(str(text)):,} characters)"
    longest = max(map(len, re.findall("`+", one_line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or one_line != one_line.strip() else ""
    inner = one_line.replace("|", "\\|") or " "
    return Markup(f"{fence}{pad}{inner}{pad}{fence}")  # noqa: S704
