"""The rules of a chat file, and their severity for each reader."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

from exporter.chat import fill, line_template
from exporter.checking.tables import table
from exporter.errors import FinetuneError
from exporter.readers import FOLDER, Reader, read_readers, readers_by_limit
from exporter.readers.schema import line_of

# The severity of the rules that a reader's file lists under each of these keys.
_SEVERITIES = {"accepts": "accepted", "warns": "warning", "refuses": "error"}


# How rules.yml writes a row; in another dialect the row has another form.
_MESSAGES = '{"messages": [...]}'


@cache
def _example(dialect: str) -> str:
    """Return the form of a row in a dialect."""
    line = fill(line_template(None, dialect), b'"..."', b'"..."')
    return json.dumps(json.loads(line))


class Rule(NamedTuple):
    """A rule of rules.yml: what is wrong, why it matters, and how to fix it.

    A rule that names a special case of another one, `of`, has the severity of that
    one for each reader.
    """

    what: str
    why: str
    fix: str
    severity: str
    of: str | None


class Fault(NamedTuple):
    """A rule that a line breaks, the key that breaks it, and what was found."""

    rule: str
    key: str | None = None
    detail: str = ""


def as_utf8(text: object) -> str:
    """Return a text or path with an escape for each byte that is not UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode()


class Finding(NamedTuple):
    """A rule that a file breaks, where, and the readers that it affects."""

    file: str
    line: int | None
    key: str | None
    rule: str
    severity: str
    readers: list[str]
    message: str
    fix: str


OnFinding = Callable[[Finding], None]


@dataclass(frozen=True)
class Rules:
    """All rules, with their severity for the chosen readers."""

    rules: dict[str, Rule]
    readers: dict[str, Reader]
    severities: dict[str, dict[str, str]]
    dialect: str = "messages"

    def report(
        self,
        on_finding: OnFinding,
        fault: Fault,
        file: object,
        line: int | None = None,
        readers: Sequence[str] | None = None,
        *,
        unpack: bool = False,
    ) -> None:
        """Call `on_finding` if any reader refuses the fault or warns of it.

        Only these `readers` are considered, by default all chosen ones. If any
        refuses the fault, those that only warn of it are not named. With `unpack`
        the command that fixes the file unpacks it first.
        """
        name, key, _ = fault
        file, detail = as_utf8(file), as_utf8(fault.detail)
        for severity, names in self.affected[name].items():
            affected = [n for n in names if readers is None or n in readers]
            if name == "reserved-word":
                affected = [n for n in affected if detail in self.readers[n].reserved]
            if affected:
                rule = self.rules[name]
                what, fix = (t.replace("{}", detail) for t in (rule.what, rule.fix))
                what = f"{what} ({self._summary(affected)}: {rule.why})"
                if self.dialect != "messages":
                    fix = fix.replace(_MESSAGES, _example(self.dialect))
                named = shlex.quote(file)
                if unpack and fix.endswith("> OTHER.jsonl"):
                    named = f"<(gunzip < {named})"
                fix = fix.replace("FILE", named)
                finding = (file, line, key, name, severity, affected, what, fix)
                on_finding(Finding(*finding))
                return

    @cached_property
    def affected(self) -> dict[str, dict[str, list[str]]]:
        """The readers that refuse a breach of each rule, and those that warn of it."""
        return {
            name: {
                severity: [
                    reader
                    for reader, severities in self.severities.items()
                    if (severities.get(name) or severities[rule.of or name]) == severity
                ]
                for severity in ("error", "warning")
            }
            for name, rule in self.rules.items()
        }

    def limits(self, kind: str) -> list[tuple[int, list[str]]]:
        """Return the limits of one kind, such as "tokens", and the readers of each."""
        return readers_by_limit(kind, self.readers)

    def reserved(self) -> re.Pattern[str] | None:
        """Return an expression for the words that one of the readers refuses."""
        words = {word for reader in self.readers.values() for word in reader.reserved}
        return re.compile("|".join(map(re.escape, sorted(words)))) if words else None

    def _summary(self, readers: list[str]) -> str:
        """Return the readers as text; if they are most, by the names of the others."""
        others = [name for name in self.readers if name not in readers]
        if not others and len(readers) > 1:
            return "every reader"
        if len(others) < len(readers) - 2:
            return f"all but {', '.join(others)}"
        return ", ".join(readers)


def read_rules(readers: Sequence[str] = (), dialect: str = "messages") -> Rules:
    """Return the rules for the named readers, or for all readers of a dialect.

    Raises:
        FinetuneError: A reader's file is invalid; the message names file and line.
    """
    content = table("rules")
    lists = [(content[s], s, None) for s in reversed(_SEVERITIES.values())]
    lists += [(cases, "error", of) for of, cases in content["cases"].items()]
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
    """Return the severity of each rule for a reader, based on the one it is `like`."""
    if reader.like:
        severities = _severities(read_readers()[reader.like], rules)
    else:
        replaced = {"error": reader.default_severity}
        severities = {
            k: replaced.get(v.severity, v.severity)
            for k, v in rules.items()
            if not v.of
        }
    if reader.reserved:
        severities["reserved-word"] = "error"
    groups, single = table("rules")["groups"], {}
    for verb, severity in _SEVERITIES.items():
        for rule in getattr(reader, verb):
            if rule in groups:
                severities |= dict.fromkeys(groups[rule], severity)
            elif rule in rules:
                single[rule] = severity
            else:
                where = line_of(FOLDER / f"{reader.name}.yml", rule)
                raise FinetuneError(f"{where}: {verb} {rule}, which is not a rule")
    return severities | single
