"""What the page and the card say, put together from manifest and survey."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, NamedTuple

from exporter.checking.fast_path import Texts
from exporter.checking.rules import Finding
from exporter.checking.texts import HTML, text_harms
from exporter.funnel import funnel_table
from exporter.report.charts import histogram
from exporter.report.survey import CHANCE, EXTREME, SHORTER, Group, Place, Survey
from exporter.report.texts import SECRET, words
from exporter.tokens import percentiles

# Of groups the most frequent: how many, and at least how often each.
_TOP = {
    "questions": (20, 1),
    "answers": (8, 2),
    "openings": (8, 3),
    "endings": (8, 3),
}
_NEAR = 8
_ODD = 10

Near = list[tuple[int, Place, Place]]


class Options(NamedTuple):
    """What the user adds: epochs, dollars a million tokens, and for the card."""

    epochs: int | None = None
    price: float | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()


def context(doc: dict[str, Any], survey: Survey, options: Options) -> dict[str, Any]:
    """Return what both templates need, by name."""
    train, valid = doc["splits"]["train"], doc["splits"]["validation"]
    top = {what: survey.commonest(what, *how) for what, how in _TOP.items()}
    near, seen = survey.near(), survey.seen()
    breaches = survey.breaches()
    chats = _chats(survey, [*_odd(survey, top["answers"], near, seen)])
    texts = survey.texts(
        {
            *(group.place for groups in top.values() for group in groups),
            *(place for chosen in chats.values() for place in chosen),
            *(place for _, *pair in near[:_NEAR] for place in pair),
            *(place for breach in breaches for place in _places(breach.first)),
        }
    )
    return {
        "doc": doc,
        "options": options,
        "title": doc["data_set"]["name"].replace("_", " ").capitalize(),
        "train": train,
        "valid": valid,
        "total": train["pairs"] + valid["pairs"],
        "titles": train["titles"] + valid["titles"],
        "funnel": doc["funnel"] if funnel_table(doc["funnel"]) else [],
        "warned": [test for test in doc["gate"]["tests"] if test["status"] == "warn"],
        "rules": survey.rules,
        "refusing": sorted(survey.refusing),
        "shared": survey.shared(),
        "breaches": breaches,
        "evidence": {b.rule: dict(_evidence(b.rule, b.first, texts)) for b in breaches},
        "bill": _bill(survey, train, options),
        "chats": chats,
        "texts": texts,
        "top": top,
        "near": [(*group, _alike(texts, *group[1:])) for group in near[:_NEAR]],
        "near_groups": len(near),
        "near_examples": sum(often for often, *_ in near),
        "hidden": [group for group in seen if len(group.what) == 1],
        "scripts": [g for g in seen if len(g.what) > 1 and g.what != SHORTER],
        **_lengths(doc, survey),
    }


def _bill(survey: Survey, train: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return the tokens to train on: as counted by the export, or at most."""
    tally = survey.sides[0].tally
    bound = {"total": tally.total, "system_prompt": tally.system, "exact": False}
    counted = train.get("tokens") or bound
    trained = counted["total"] * (options.epochs or 1)
    return {
        **counted,
        "trained": trained,
        "cost": None if options.price is None else trained * options.price / 1e6,
        "prompt_share": 100 * counted["system_prompt"] / counted["total"],
    }


def _lengths(doc: dict[str, Any], survey: Survey) -> dict[str, Any]:
    """Return the histograms, and what of the files stands against readers' limits."""
    answers, titles = (
        [length for side in survey.sides for length in side.lengths[kind]]
        for kind in ("answers", "titles")
    )
    sizes = [size for side in survey.sides for size in side.tally.counts]
    limits = [limit for limit, _ in survey.rules.limits("tokens")]
    charts = {
        "answers": histogram(answers),
        "titles": histogram(titles),
        "sizes": histogram(sizes, limits),
        "per_title": histogram(g.often for g in survey.groups("questions")),
    }
    longest, counted = max(sizes), _counted(doc)
    if counted:
        longest = max(facts["longest"] for facts in counted)
        counts: Counter[int] = Counter()
        for facts in counted:
            counts.update({int(k): n for k, n in facts.get("histogram", {}).items()})
        if counts:
            charts["tokens"] = histogram(counts, limits)
    return {
        "answer_lengths": percentiles(answers, 50, 90, 100),
        "charts": charts,
        "held": {
            "examples": doc["splits"]["train"]["pairs"],
            "tokens": longest,
            "bytes": max(doc["files"][s.path.name]["bytes"] for s in survey.sides),
        },
    }


def _counted(doc: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the export says of the tokens of its splits, if it counted them."""
    found = (split.get("tokens") for split in doc["splits"].values())
    return [facts for facts in found if facts and facts["exact"]]


def _odd(
    survey: Survey, answers: list[Group], near: Near, seen: list[Group]
) -> Iterator[tuple[Place, str]]:
    """Yield places of odd examples, and what is odd."""
    for group in answers[:1]:
        yield group.place, f"answer of {group.often} titles"
    for _, first, other in near[:1]:
        yield first, "nearly the same"
        yield other, "nearly the same"
    for group in [group for group in seen if len(group.what) == 1][:3]:
        yield group.place, character_name(group.what)
    scripts = [g for g in seen if len(g.what) > 1]
    for group in [g for g in scripts if g.what == SHORTER] + scripts[:0:-1][:2]:
        yield group.place, group.what
    for breach in survey.breaches():
        for place in _places(breach.first[:1]):
            if breach.rule not in SECRET:
                yield place, breach.rule.replace("-", " ")


def _chats(survey: Survey, odd: list[tuple[Place, str]]) -> dict[str, dict[Place, str]]:
    """Return thirty examples, no one twice, and why each was chosen."""
    chats = {"odd": dict(odd[:_ODD])}
    for kind, most in (("longest", EXTREME), ("shortest", EXTREME), ("chance", CHANCE)):
        taken = {place for chosen in chats.values() for place in chosen}
        new = [place for place in survey.kept(kind, CHANCE) if place not in taken]
        chats[kind] = dict.fromkeys(new[: min(most, CHANCE - len(taken))], kind)
    return chats


def character_name(character: str) -> str:
    """Return the code point of a character, with its name if it has one."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def _places(findings: list[Finding]) -> list[Place]:
    return [Place(f.file.rpartition("/")[2], f.line) for f in findings if f.line]


def _evidence(
    rule: str, findings: list[Finding], texts: dict[Place, Texts]
) -> Iterator[tuple[Place, str]]:
    """Yield where a rule is broken, and the text around what was found there."""
    for place in _places(findings):
        for text in texts[place][:0:-1]:
            found = dict(text_harms(text)).get(rule, "")
            if rule == "html" and (tag := HTML.search(text)):
                found = tag[0]
            if rule in SECRET or found:
                break
        if rule in SECRET:
            yield place, "(not shown)"
        else:
            start = max(0, text.find(found) - 40) if found else 0
            yield place, "… " * bool(start) + text[start : start + len(found) + 80]


def apart(first: str, other: str) -> tuple[str, str]:
    """Return two texts from shortly before the place where they begin to differ."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, other, strict=False))
    start = max(0, sum(1 for _ in same) - 80)
    mark = "… " if start else ""
    return mark + first[start:], mark + other[start:]


def _alike(texts: dict[Place, Texts], first: Place, other: Place) -> int:
    """Return how many percent of the words of two answers stand in both."""
    mine, theirs = words(texts[first][2]), words(texts[other][2])
    return round(100 * len(mine & theirs) / max(1, len(mine | theirs)))
