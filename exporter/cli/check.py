"""`finetune check`: check chat files against the rules of every reader."""

import sys
from collections import Counter, defaultdict
from pathlib import Path

import click
import orjson

from exporter import manifest, tokens
from exporter.chat import DIALECTS
from exporter.checking.files import check_file, check_leaks
from exporter.checking.rules import Fault, Finding, Rules, read_rules
from exporter.cli import token_report
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
from exporter.display import visible, visible_json
from exporter.errors import FinetuneError
from exporter.readers import read_readers

# Show at most this many findings that differ only in the line.
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

    FILES are chat JSONL of any origin, plain or .gz; a file with a word
    such as valid, dev, test or eval in its name is for validation (docs/check.md).
    Without FILES, the last export is checked, also against its manifest. Readers
    of other dialects are left out.

    An error is what a reader refuses, and exits with 1. Warnings exit with 0.
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
    checked = []
    for path in files:
        tally = tokens.Tally(counter) if counter else None
        contents = check_file(path, rules, findings.add, tally.add if tally else None)
        checked.append(contents)
        if tally:
            token_report.report_long_examples(path, tally, rules, findings.add)
        findings.print_groups()
        questions, most = contents.questions.distinct_and_most_frequent()
        say(
            f"{path}: examples: {contents.examples:,}, different questions: "
            f"{questions:,}, most answers to one: {most:,}"
        )
        if tally and tally.counts:
            click.echo(
                visible_json(token_report.as_json(path, tally))
                if as_json
                else token_report.as_text(
                    path, tally, rules, epochs=epochs, price=price
                )
            )
    check_leaks(checked, rules, findings.add)
    findings.print_groups()
    errors, warnings = findings.counts["error"], findings.counts["warning"]
    say(f"errors: {errors:,}, warnings: {warnings:,}")
    if errors:
        sys.exit(1)


def _rules(names: tuple[str, ...], dialect: str) -> Rules:
    """Return the rules of the named readers, or of all; "" is any dialect.

    Warn of a named reader that has closed.
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
            say(*(f"warning: {note}" for note in known[name].date_warnings(today())))
    return read_rules(names or [name for name in known if not dialect], dialect)


def _list_rules(rules: Rules, *, as_json: bool) -> None:
    """Print each rule, its meaning and the readers that it affects."""
    for name, rule in rules.rules.items():
        affected = rules.affected[name]
        if as_json:
            click.echo(orjson.dumps({"rule": name, **rule._asdict(), **affected}))
            continue
        text = f"{name}: {rule.what}: {rule.why}; fix: {rule.fix}"
        click.echo(text.replace("{}", "..."))
        for severity, readers in affected.items():
            if readers:
                click.echo(f"  {severity}: {', '.join(readers)}")


class _Findings:
    """Counts findings and prints them: each at once as JSON, or in groups as text."""

    def __init__(self, as_json: bool) -> None:
        self.counts = {"error": 0, "warning": 0}
        self._as_json = as_json
        self._first: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        self._group_counts: Counter[tuple[str, str]] = Counter()

    def add(self, finding: Finding) -> None:
        """Print a finding as JSON, or keep it if it is among the first of its group."""
        self.counts[finding.severity] += 1
        if self._as_json:
            click.echo(CLEAR_BAR.get(), err=True, nl=False)
            click.echo(visible_json(orjson.dumps(finding._asdict(), default=str)))
            return
        group = (finding.rule, finding.severity)
        self._group_counts[group] += 1
        if self._group_counts[group] <= _SHOWN:
            self._first[group].append(finding)

    def print_groups(self) -> None:
        """Print the groups in the order of their first lines, and forget them."""
        groups = sorted(self._first.items(), key=lambda item: item[1][0].line or 0)
        for group, findings in groups:
            for finding in findings:
                click.echo(_as_text(finding))
            more = self._group_counts[group] - len(findings)
            if more:
                click.echo(f"... and {more:,} more like this")
        self._first.clear()
        self._group_counts.clear()


def _as_text(finding: Finding) -> str:
    place = finding.file if finding.line is None else f"{finding.file}:{finding.line}"
    key = f" {finding.key}:" if finding.key else ""
    warning = " warning:" if finding.severity == "warning" else ""
    return visible(f"{place}:{key}{warning} {finding.message} fix: {finding.fix}")


def _last_export(folder: Path, rules: Rules, findings: _Findings) -> tuple[Path, ...]:
    """Return the chat files of an export; report what differs from its manifest."""
    for problem in manifest.problems(folder):
        fault = Fault("manifest", detail=problem.what)
        rules.report(findings.add, fault, problem.file)
    findings.print_groups()
    names = manifest.read(folder).files
    chats = (folder / name for name in ("train.jsonl", "valid.jsonl") if name in names)
    return tuple(path for path in chats if path.exists())
