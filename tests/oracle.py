"""The rules once more, in plain Python: no SQL and no code of the project."""

import hashlib
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

Row = tuple[str | None, str | None, str | None]

# Unicode's separators, the controls that move to another place or line, and
# the characters of no width.
BLANKS = {
    character
    for character in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(character) in {"Zs", "Zl", "Zp"}
} | set("\t\n\v\f\r\x85\u200b\u200c\u200d\u2060\ufeff")


def trimmed(text: str) -> str:
    start, end = 0, len(text)
    while start < end and text[start] in BLANKS:
        start += 1
    while end > start and text[end - 1] in BLANKS:
        end -= 1
    return text[start:end]


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def kept_rows(
    rows: Iterable[Row], *, longer_than: int = 10
) -> list[tuple[str | None, str, str]]:
    kept = []
    for uid, title, content in rows:
        if title is None or content is None:
            continue
        row = (uid, trimmed(title), trimmed(content))
        if row[1] and len(row[2]) > longer_than:
            kept.append(row)
    return kept


def training_pairs(
    rows: Iterable[Row],
    *,
    longer_than: int = 10,
    at_least: int = 10,
    validation_percent: float = 0,
) -> list[dict[str, Any]]:
    """Return the lines of clean.jsonl, as dictionaries, in their order."""
    by_title: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for uid, title, description in kept_rows(rows, longer_than=longer_than):
        by_title[title].append((uid, description))
    pairs = []
    for title, members in by_title.items():
        if len(members) < at_least:
            continue
        point = int(
            hashlib.md5(title.encode(), usedforsecurity=False).hexdigest()[:8], 16
        )
        share = Fraction(validation_percent) / 100
        for description in {description for _, description in members}:
            uids = [uid for uid, text in members if text == description]
            named = sorted(uid for uid in uids if uid is not None)
            pairs.append(
                {
                    "pair_id": md5(f"{title}\x1f{description}"),
                    "title": title,
                    "description": description,
                    "split": "validation" if point < int(share * 16**8) else "train",
                    "title_occurrences": len(members),
                    "copies": len(uids),
                    "first_uid": named[0] if named else None,
                }
            )
    return sorted(pairs, key=lambda pair: str(pair["pair_id"]))


def funnel(
    rows: list[Row], *, longer_than: int = 10, at_least: int = 10
) -> list[tuple[str, int, int, int, int]]:
    """Return (rule, rows before, rows after, titles before, titles after)."""
    trim = [
        (trimmed(title or ""), None if content is None else trimmed(content))
        for _, title, content in rows
    ]
    titled = [(title, text) for title, text in trim if title]
    long = [(title, text) for title, text in titled if text and len(text) > longer_than]
    titles = [title for title, _ in long]
    often = {t for t, n in _counts(titles).items() if n >= at_least}
    repeated = [row for row in long if row[0] in often]
    steps: list[Sequence[tuple[str, str | None]]]
    steps = [trim, titled, long, repeated, list(set(repeated))]
    rules = ["title_not_blank", "description_long_enough"]
    rules += ["title_repeated", "pair_distinct"]
    return [
        (rule, len(a), len(b), len({t for t, _ in a}), len({t for t, _ in b}))
        for rule, a, b in zip(rules, steps, steps[1:], strict=False)
    ]


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return counts
