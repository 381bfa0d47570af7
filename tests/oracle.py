"""An independent version of the rules in Python: shares no SQL and no code."""

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
    """Return the lines of clean.jsonl in order, as dictionaries."""
    by_title: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for uid, title, description in kept_rows(rows, longer_than=longer_than):
        by_title[title].append((uid, description))
    pairs = []
    for title, members in by_title.items():
        if len(members) < at_least:
            continue
        for description in {description for _, description in members}:
            uids = [uid for uid, text in members if text == description]
            named = sorted(uid for uid in uids if uid is not None)
            pairs.append(
                {
                    "pair_id": md5(f"{title}\x1f{description}"),
                    "title": title,
                    "description": description,
                    "split": side(title, validation_percent),
                    "title_occurrences": len(members),
                    "copies": len(uids),
                    "first_uid": named[0] if named else None,
                }
            )
    answers = {pair["description"] for pair in pairs if pair["split"] == "train"}
    return sorted(
        (
            pair
            for pair in pairs
            if pair["split"] == "train" or pair["description"] not in answers
        ),
        key=lambda pair: str(pair["pair_id"]),
    )


def side(title: str, validation_percent: float) -> str:
    point = int(md5(title)[:8], 16)
    share = Fraction(validation_percent) / 100
    return "validation" if point < int(share * 16**8) else "train"


def outcomes(
    rows: Iterable[Row],
    *,
    longer_than: int = 10,
    at_least: int = 10,
    validation_percent: float = 0,
) -> list[tuple[str | None, str | None, str | None]]:
    """Return (uid, rule that drops the row, pair_id) of each row."""
    rows = list(rows)
    kept = kept_rows(rows, longer_than=longer_than)
    often = _counts(title for _, title, _ in kept)
    published = {
        pair["pair_id"]
        for pair in training_pairs(
            rows,
            longer_than=longer_than,
            at_least=at_least,
            validation_percent=validation_percent,
        )
    }
    found: list[tuple[str | None, str | None, str | None]] = []
    for uid, title, content in rows:
        name, text = trimmed(title or ""), trimmed(content or "")
        pair_id = md5(f"{name}\x1f{text}")
        if not name:
            found.append((uid, "title_not_blank", None))
        elif len(text) <= longer_than:
            found.append((uid, "description_long_enough", None))
        elif often[name] < at_least:
            found.append((uid, "title_repeated", None))
        elif pair_id not in published:
            found.append((uid, "validation_answer_unseen", None))
        else:
            found.append((uid, None, pair_id))
    return found


def funnel(
    rows: list[Row],
    *,
    longer_than: int = 10,
    at_least: int = 10,
    validation_percent: float = 0,
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
    if validation_percent:
        rules.append("validation_answer_unseen")
        pairs = training_pairs(
            rows,
            longer_than=longer_than,
            at_least=at_least,
            validation_percent=validation_percent,
        )
        steps.append([(pair["title"], pair["description"]) for pair in pairs])
    return [
        (rule, len(a), len(b), len({t for t, _ in a}), len({t for t, _ in b}))
        for rule, a, b in zip(rules, steps, steps[1:], strict=False)
    ]


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for value in values:
        counts[value] += 1
    return counts
