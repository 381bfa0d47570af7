"""The context of the report's templates, from the manifest and the profile."""

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
from exporter.report.profiling import (
    SAMPLE_SIZES,
    SHORTER,
    Group,
    Location,
    Profile,
    Violation,
)
from exporter.report.texts import SECRET, words
from exporter.tokens import percentiles

# The most frequent groups: how many to show, and their least number of examples.
_MOST_FREQUENT = {
    "questions": (20, 1),
    "answers": (8, 2),
    "openings": (8, 3),
    "endings": (8, 3),
}
_NEAR_DUPLICATES = 8

# How many conversations to show, and how many unusual ones among them.
_CONVERSATIONS = 30
_UNUSUAL = 10

NearDuplicates = list[tuple[int, Location, Location]]


class Options(NamedTuple):
    """Options of the user: epochs, dollars per million tokens, fields of the card."""

    epochs: int | None = None
    price: float | None = None
    license: str | None = None
    languages: tuple[str, ...] = ()


def context(doc: dict[str, Any], profile: Profile, options: Options) -> dict[str, Any]:
    """Return the variables of both templates."""
    train, valid = doc["splits"]["train"], doc["splits"]["validation"]
    top = {kind: profile.most_frequent(kind, *n) for kind, n in _MOST_FREQUENT.items()}
    near, features = profile.near_duplicates(), profile.features()
    shown = near[:_NEAR_DUPLICATES]
    violations = profile.violations()
    unusual = [*_unusual(top["answers"], near, features, violations)]
    conversations = _conversations(profile, unusual)
    texts = profile.texts(
        {
            *(group.location for groups in top.values() for group in groups),
            *(location for chosen in conversations.values() for location in chosen),
            *(location for _, *pair in shown for location in pair),
            *(location for v in violations for location in _locations(v.findings)),
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
        "warnings": [test for test in doc["gate"]["tests"] if test["status"] == "warn"],
        "rules": profile.rules,
        "refusing": sorted(profile.refusing),
        "shared": profile.shared(),
        "violations": violations,
        "evidence": {v.rule: dict(_evidence(v, texts)) for v in violations},
        "bill": _bill(profile, train, options),
        "conversations": conversations,
        "texts": texts,
        "top": top,
        "near_duplicates": [
            (*group, _similarity(texts, *group[1:])) for group in shown
        ],
        "near_groups": len(near),
        "near_examples": sum(count for count, *_ in near),
        "invisible": [group for group in features if len(group.name) == 1],
        "scripts": [g for g in features if len(g.name) > 1 and g.name != SHORTER],
        **_lengths(doc, profile),
    }


def _bill(profile: Profile, train: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return the tokens to train on: those that the export counted, or a bound."""
    tally = profile.files[0].tally
    bound = {"total": tally.total, "system_prompt": tally.system, "exact": False}
    counted = train.get("tokens") or bound
    trained = counted["total"] * (options.epochs or 1)
    return {
        **counted,
        "trained": trained,
        "cost": None if options.price is None else trained * options.price / 1e6,
        "prompt_share": 100 * counted["system_prompt"] / counted["total"],
    }


def _lengths(doc: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """Return the histograms, and the figures that readers limit."""
    answers, titles = (
        [length for file in profile.files for length in file.lengths[kind]]
        for kind in ("answers", "titles")
    )
    sizes = [size for file in profile.files for size in file.tally.counts]
    longest = max(sizes)
    limits = [limit for limit, _ in profile.rules.limits("tokens")]
    charts = {
        "answers": histogram(answers),
        "titles": histogram(titles),
        "sizes": histogram(sizes, limits),
        "per_title": histogram(g.examples for g in profile.groups("questions")),
    }
    tokens = [split.get("tokens") for split in doc["splits"].values()]
    if counted := [facts for facts in tokens if facts and facts["exact"]]:
        longest = max(facts["longest"] for facts in counted)
        counts: Counter[int] = Counter()
        for facts in counted:
            counts.update({int(k): n for k, n in facts.get("histogram", {}).items()})
        if counts:
            charts["tokens"] = histogram(counts, limits)
    return {
        "answer_lengths": percentiles(answers, 50, 90, 100),
        "charts": charts,
        "limited": {
            "examples": doc["splits"]["train"]["pairs"],
            "tokens": longest,
            "bytes": max(doc["files"][f.path.name]["bytes"] for f in profile.files),
        },
    }


def _unusual(
    answers: list[Group],
    near: NearDuplicates,
    features: list[Group],
    violations: list[Violation],
) -> Iterator[tuple[Location, str]]:
    """Yield the locations of unusual examples, and what is unusual."""
    for group in answers[:1]:
        yield group.location, f"answer of {group.examples} titles"
    for _, first, other in near[:1]:
        yield first, "nearly the same"
        yield other, "nearly the same"
    for group in [group for group in features if len(group.name) == 1][:3]:
        yield group.location, character_name(group.name)
    scripts = [g for g in features if len(g.name) > 1]
    for group in [g for g in scripts if g.name == SHORTER] + scripts[:0:-1][:2]:
        yield group.location, group.name
    for violation in violations:
        for location in _locations(violation.findings[:1]):
            if violation.rule not in SECRET:
                yield location, violation.rule.replace("-", " ")


def _conversations(
    profile: Profile, unusual: list[tuple[Location, str]]
) -> dict[str, dict[Location, str]]:
    """Return thirty different examples, and why each is shown."""
    chosen = {"unusual": dict(unusual[:_UNUSUAL])}
    for kind in ("longest", "shortest", "random"):
        before = {location for locations in chosen.values() for location in locations}
        others = [place for place in profile.samples(kind) if place not in before]
        number = min(SAMPLE_SIZES[kind], _CONVERSATIONS - len(before))
        chosen[kind] = dict.fromkeys(others[:number], kind)
    return chosen


def character_name(character: str) -> str:
    """Return the code point of a character, with its name if it has one."""
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".strip()


def _locations(findings: list[Finding]) -> list[Location]:
    return [Location(f.file.rpartition("/")[2], f.line) for f in findings if f.line]


def _evidence(
    violation: Violation, texts: dict[Location, Texts]
) -> Iterator[tuple[Location, str]]:
    """Yield where a rule is violated, and the text around what violates it."""
    rule = violation.rule
    for location in _locations(violation.findings):
        for text in texts[location][:0:-1]:
            found = dict(text_harms(text)).get(rule, "")
            if rule == "html" and (tag := HTML.search(text)):
                found = tag[0]
            if rule in SECRET or found:
                break
        if rule in SECRET:
            yield location, "(not shown)"
        else:
            start = max(0, text.find(found) - 40) if found else 0
            excerpt = text[start : start + len(found) + 80]
            yield location, "… " * bool(start) + excerpt


def around_difference(first: str, other: str) -> tuple[str, str]:
    """Return two texts from shortly before their first difference on."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, other, strict=False))
    start = max(0, sum(1 for _ in same) - 80)
    mark = "… " if start else ""
    return mark + first[start:], mark + other[start:]


def _similarity(texts: dict[Location, Texts], first: Location, other: Location) -> int:
    """Return how many percent of the words of two answers are in both of them."""
    mine, theirs = words(texts[first][2]), words(texts[other][2])
    return round(100 * len(mine & theirs) / max(1, len(mine | theirs)))
