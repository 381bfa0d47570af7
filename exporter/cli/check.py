"""`finetune check`: what every reader will say of a chat file."""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import click
import orjson

from exporter import manifest, tokens
from exporter.chat import DIALECTS
from exporter.checking.files import check_file
from exporter.checking.leaks import check_leaks
from exporter.checking.rules import Fault, Finding, Rules, read_rules
from exporter.cli import figures
from exporter.cli.console import (
    CLEAR_BAR,
    ENCODING,
    EXIT_CODES,
    FILE,
    OUTPUT_DIR,
    PATH,
    PRICE,
    QUIET,
    option,
    say,
    today,
)
from exporter.display import visible
from exporter.errors import FinetuneError
from exporter.readers import read_readers

# Of findings that differ in the line only, so many are shown.
_SHOWN = 3


@click.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, type=PATH)
@option(
    "--for readers READER",
    "Apply the rules of this reader only; repeatable.  [default: all]",
    click.Choice([*read_readers()]),
    multiple=True,
)
@option(
    "--dialect DIALECT",
    f"Form of the lines: {', '.join(reversed(DIALECTS))}.  "
    "[default: messages, or that of the last export]",
    click.Choice(list(DIALECTS)),
)
@option("--json as_json", "Print one finding per line as JSON.")
@OUTPUT_DIR
@option("--list-rules", "List the rules and exit.")
@option("--tokens count", "Count and report tokens.")
@option("--tokenizer FILE", "Count with a model's own tokenizer.json.", FILE)
@ENCODING
@option(
    "--epochs N",
    "Times that the data is trained on, for the bill.",
    click.IntRange(min=1),
    default=1,
)
@PRICE
@QUIET
def check(
    files: tuple[Path, ...],
    readers: tuple[str, ...],
    dialect: str | None,
    as_json: bool,
    output_dir: Path,
    list_rules: bool,
    count: bool,
    tokenizer: Path | None,
    encoding: str,
    epochs: int,
    price: float | None,
) -> None:
    """Check FILES against the rules of every reader, offline.

    FILES are chat JSONL of any origin, plain or .gz; a file with the word valid,
    val, dev, test or eval in its name is for validation. Without FILES, the last
    export is checked, also against its manifest. Readers of other dialects are
    left out.

    An error is what a reader refuses; it exits with 1. Warnings exit with 0.
    """
    if dialect is None:
        dialect = "messages"
        if not files and not list_rules:
            dialect = manifest.read(output_dir).dialect
    rules = _rules(readers, "" if list_rules else dialect)
    if list_rules:
        _list_rules(rules, as_json=as_json)
        return
    findings = _Findings(as_json)
    if not files:
        files = _last_export(output_dir, rules, findings)
    counter = None
    if tokenizer:
        counter = tokens.from_file(tokenizer)
    elif count or price is not None:
        counter = tokens.counter(encoding)
    contents, bill = [], figures.Bill(epochs, price)
    for path in files:
        tally = tokens.Tally(counter) if counter else None
        held = check_file(path, rules, findings.take, tally.add if tally else None)
        contents.append(held)
        if tally:
            for finding in figures.too_long(path, tally, rules):
                findings.take(finding)
        findings.show()
        questions, most = held.questions.distinct_and_most_frequent()
        say(
            f"{path}: examples: {held.examples:,}, different questions: "
            f"{questions:,}, most answers to one: {most:,}"
        )
        if tally and tally.counts:
            click.echo(figures.shown(path, tally, rules, bill, as_json=as_json))
    check_leaks(contents, rules, findings.take)
    findings.show()
    errors, warnings = findings.counts["error"], findings.counts["warning"]
    say(f"errors: {errors:,}, warnings: {warnings:,}")
    if errors:
        sys.exit(1)


def _rules(names: tuple[str, ...], dialect: str) -> Rules:
    """Return the rules of the readers named; without a dialect those of any.

    Of a reader that has closed, that is said.
    """
    known = read_readers()
    for name in names:
        own = known[name].dialect
        if dialect and own != dialect:
            raise FinetuneError(
                f"--for {name} reads --dialect {own}, not {dialect}: finetune export "
                f"--dialect {own}, or finetune check --dialect {own} FILE"
            )
        if known[name].closed(today()):
            say(*(f"warning: {note}" for note in known[name].dates(today())))
    return read_rules(names or [name for name in known if not dialect], dialect)


def _list_rules(rules: Rules, *, as_json: bool) -> None:
    """Print each rule, its meaning and the readers that it concerns."""
    for name, rule in rules.rules.items():
        affected = rules.affected[name]
        if as_json:
            click.echo(orjson.dumps({"rule": name, **rule._asdict(), **affected}))
            continue
        click.echo(
            f"{name}: {rule.what.replace('{}', '...')}: {rule.why}; fix: {rule.fix}"
        )
        for severity, readers in affected.items():
            if readers:
                click.echo(f"  {severity}: {', '.join(readers)}")


class _Findings:
    """Findings on their way out: all of them as JSON, else grouped and counted."""

    def __init__(self, as_json: bool) -> None:
        self.counts = {"error": 0, "warning": 0}
        self._as_json = as_json
        self._first: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        self._alike: Counter[tuple[str, str]] = Counter()

    def take(self, finding: Finding | None) -> None:
        """Print a finding, if it is one, as JSON; or keep the first alike."""
        if finding is None:
            return
        self.counts[finding.severity] += 1
        if self._as_json:
            click.echo(CLEAR_BAR.get(), err=True, nl=False)
            click.echo(orjson.dumps(finding._asdict(), default=str))
            return
        alike = (finding.rule, finding.severity)
        self._alike[alike] += 1
        if self._alike[alike] <= _SHOWN:
            self._first[alike].append(finding)

    def show(self) -> None:
        """Print what was kept, in the order of the lines."""
        groups = sorted(self._first.items(), key=lambda group: group[1][0].line or 0)
        for alike, findings in groups:
            for finding in findings:
                click.echo(_as_text(finding))
            more = self._alike[alike] - len(findings)
            if more:
                click.echo(f"... and {more:,} more like this")
        self._first.clear()
        self._alike.clear()


def _as_text(finding: Finding) -> str:
    place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    key = f" {finding.key}:" if finding.key else ""
    mild = " warning:" if finding.severity == "warning" else ""
    return visible(f"{place}:{key}{mild} {finding.message} fix: {finding.fix}")


def _last_export(folder: Path, rules: Rules, findings: _Findings) -> tuple[Path, ...]:
    for problem in manifest.problems(folder):
        fault = Fault("manifest", detail=problem.what)
        findings.take(rules.finding(fault, problem.file))
    findings.show()
    names = manifest.read(folder).files
    chats = (folder / name for name in ("train.jsonl", "valid.jsonl") if name in names)
    return tuple(path for path in chats if path.exists())
