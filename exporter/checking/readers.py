"""What each reader of a chat file refuses, judged by the table in readers.yml."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Rule(NamedTuple):
    """One line of the common strict line, in words for the user."""

    what: str
    why: str
    fix: str
    severity: str


class Reader(NamedTuple):
    """A provider or trainer, its limits and its severity for each rule.

    A limit is None where there is none or nobody states it.
    """

    title: str
    examples: int | None
    validation_examples: int | None
    bytes: int | None
    tokens: int | None
    severities: dict[str, str]


class Finding(NamedTuple):
    """A rule that a file breaks, where, and the readers that mind."""

    file: str
    line: int | None
    key: str | None
    rule: str
    severity: str
    readers: list[str]
    message: str
    fix: str


class Rules(NamedTuple):
    """The whole table, for some of the readers."""

    rules: dict[str, Rule]
    readers: dict[str, Reader]

    def finding(
        self,
        rule: str,
        *,
        file: str,
        line: int | None = None,
        key: str | None = None,
        detail: str = "",
        readers: Sequence[str] | None = None,
    ) -> Finding | None:
        """Return what the readers (all of them) say of a fault, if they mind.

        If one refuses the fault, those who merely suffer are not named.
        """
        chosen = self.readers if readers is None else readers
        for severity in ("error", "warning"):
            minding = [
                name
                for name in chosen
                if self.readers[name].severities[rule] == severity
            ]
            if minding:
                what, why, fix, _ = self.rules[rule]
                message = f"{what.format(detail)} ({self._named(minding)}: {why})"
                return Finding(file, line, key, rule, severity, minding, message, fix)
        return None

    def limits(self, kind: str) -> list[tuple[int, list[str]]]:
        """Return the limits of one kind, such as "tokens", and who has them."""
        limits: dict[int, list[str]] = {}
        for name, reader in self.readers.items():
            limit = getattr(reader, kind)
            if limit is not None:
                limits.setdefault(limit, []).append(name)
        return sorted(limits.items())

    def _named(self, readers: list[str]) -> str:
        """Return the readers as text; most of many by naming the others."""
        others = [name for name in self.readers if name not in readers]
        if not others and len(readers) > 1:
            return "every reader"
        if len(others) < len(readers) - 2:
            return f"all but {', '.join(others)}"
        return ", ".join(readers)


def read_rules(readers: Sequence[str] = ()) -> Rules:
    """Return the table for the readers named, or for all of them."""
    text = Path(__file__).with_name("readers.yml").read_text(encoding="utf-8")
    table = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    rules = {
        name: Rule(
            _one_line(rule["what"]),
            _one_line(rule["why"]).format(),
            _one_line(rule["fix"]).format(),
            rule.get("severity", "error"),
        )
        for name, rule in table["rules"].items()
    }
    profiles = table["readers"]
    return Rules(
        rules,
        {
            name: _reader(name, profiles, rules)
            for name in profiles
            if name in readers or not readers
        },
    )


def _reader(
    name: str, profiles: dict[str, dict[str, Any]], rules: dict[str, Rule]
) -> Reader:
    profile = profiles[name]
    if "like" in profile:
        base = _reader(profile["like"], profiles, rules)
    else:
        base = Reader(
            "", None, None, None, None, {k: v.severity for k, v in rules.items()}
        )
        if profile.get("otherwise") == "warning":
            milder = {"error": "warning"}
            severities = {k: milder.get(v, v) for k, v in base.severities.items()}
            base = base._replace(severities=severities)
    severities = dict(base.severities)
    for verb, severity in (
        ("accepts", "accepted"),
        ("warns", "warning"),
        ("refuses", "error"),
    ):
        for rule in profile.get(verb, []):
            if rule not in rules:
                raise KeyError(f"{name} {verb} {rule}, which is no rule")
            severities[rule] = severity
    limits = {
        limit: profile[limit] if isinstance(profile[limit], int) else None
        for limit in ("examples", "validation_examples", "bytes", "tokens")
        if limit in profile
    }
    return base._replace(title=profile["title"], severities=severities, **limits)


def _one_line(text: str) -> str:
    return " ".join(text.split())
