"""The rules of a chat file, and how severe each reader holds a breach."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from exporter.checking.tables import table
from exporter.errors import FinetuneError
from exporter.readers import FOLDER, Reader, limits, read_readers
from exporter.readers.schema import first_place

# The severity of the rules that a reader's file lists under each key.
_SEVERITIES = {"accepts": "accepted", "warns": "warning", "refuses": "error"}


class Rule(NamedTuple):
    """One line of the common strict line, in words for the user.

    A rule that is an exact name for a case of another, `of`, is minded by those
    who mind that one.
    """

    what: str
    why: str
    fix: str
    severity: str
    of: str | None


class Fault(NamedTuple):
    """A rule that a line breaks, where in the line, and what was found there."""

    rule: str
    key: str | None = None
    detail: str = ""


def as_utf8(text: object) -> str:
    """Return text that may hold a path, whose bytes can be any, as UTF-8 takes it."""
    return str(text).encode("utf-8", "backslashreplace").decode()


class Finding(NamedTuple):
    """A rule that a file breaks, where, and the readers it concerns."""

    file: str
    line: int | None
    key: str | None
    rule: str
    severity: str
    readers: list[str]
    message: str
    fix: str


@dataclass(frozen=True)
class Rules:
    """The whole table, for some of the readers."""

    rules: dict[str, Rule]
    readers: dict[str, Reader]
    severities: dict[str, dict[str, str]]
    dialect: str = "messages"

    def finding(
        self,
        fault: Fault,
        file: object,
        line: int | None = None,
        readers: Sequence[str] | None = None,
    ) -> Finding | None:
        """Return what the readers (all of them) say of a fault, if it is one for them.

        If one refuses the fault, those who merely suffer are not named.
        """
        rule, key, _ = fault
        file, detail = as_utf8(file), as_utf8(fault.detail)
        for severity, minding in self.minding[rule].items():
            if readers is not None:
                minding = [name for name in minding if name in readers]  # noqa: PLW2901
            if minding:
                said = self.rules[rule]
                what, fix = (t.replace("{}", detail) for t in (said.what, said.fix))
                message = f"{what} ({self._named(minding)}: {said.why})"
                fix = fix.replace("FILE", shlex.quote(file))
                return Finding(file, line, key, rule, severity, minding, message, fix)
        return None

    @cached_property
    def minding(self) -> dict[str, dict[str, list[str]]]:
        """Return of each rule who refuses a breach, and whom it merely harms."""
        return {
            name: {
                severity: [
                    reader
                    for reader, held in self.severities.items()
                    if (held.get(name) or held[rule.of or name]) == severity
                ]
                for severity in ("error", "warning")
            }
            for name, rule in self.rules.items()
        }

    def limits(self, kind: str) -> list[tuple[int, list[str]]]:
        """Return the limits of one kind, such as "tokens", and who has them."""
        return limits(kind, self.readers)

    def reserved(self) -> re.Pattern[str] | None:
        """Return what finds the words that one of the readers does not bear."""
        words = {word for reader in self.readers.values() for word in reader.reserved}
        return re.compile("|".join(map(re.escape, sorted(words)))) if words else None

    def _named(self, readers: list[str]) -> str:
        """Return the readers as text; most of many by naming the others."""
        others = [name for name in self.readers if name not in readers]
        if not others and len(readers) > 1:
            return "every reader"
        if len(others) < len(readers) - 2:
            return f"all but {', '.join(others)}"
        return ", ".join(readers)


def read_rules(readers: Sequence[str] = (), dialect: str = "messages") -> Rules:
    """Return the table for the readers named, or for all of a dialect.

    Raises:
        FinetuneError: A reader's file has a fault; file and line are named.
    """
    given = table("rules")
    lists = [(given[s], s, None) for s in reversed(_SEVERITIES.values())]
    lists += [(cases, "error", of) for of, cases in given["cases"].items()]
    rules = {
        name: Rule(what, why, fix, severity, of)
        for rows, severity, of in lists
        for name, (what, why, fix, _) in rows.items()
    }
    chosen = {
        name: reader
        for name, reader in read_readers().items()
        if name in readers or (not readers and reader.dialect == dialect)
    }
    severities = {name: _severities(reader, rules) for name, reader in chosen.items()}
    return Rules(rules, chosen, severities, dialect)


def _severities(reader: Reader, rules: dict[str, Rule]) -> dict[str, str]:
    """Return how severe a reader holds each rule, its model (`like`) first."""
    if reader.like:
        severities = _severities(read_readers()[reader.like], rules)
    else:
        milder = {"error": reader.otherwise}
        severities = {
            k: milder.get(v.severity, v.severity) for k, v in rules.items() if not v.of
        }
    groups, single = table("rules")["groups"], {}
    for verb, severity in _SEVERITIES.items():
        for rule in getattr(reader, verb):
            if rule in groups:
                severities |= dict.fromkeys(groups[rule], severity)
            elif rule in rules:
                single[rule] = severity
            else:
                where = first_place(FOLDER / f"{reader.name}.yml", rule)
                raise FinetuneError(f"{where}: {verb} {rule}, which is no rule")
    return severities | single
