"""`finetune diff`: the differences between two exports, for a pull request."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from exporter.cli.console import EXIT_CODES, PATH, option
from exporter.diff import KINDS, compare
from exporter.display import counted, visible_json

# The first cell of a row shows their values already.
_NAME_KEYS = {"rule", "name"}


@click.command(epilog=EXIT_CODES)
@click.argument("old", type=PATH)
@click.argument("new", type=PATH)
@option("--json as_json", "Print JSON, not Markdown.")
@option("--exit-code", "Exit with 1 if anything differs.")
def diff(old: Path, new: Path, as_json: bool, exit_code: bool) -> None:
    """Show what came, went or changed between two exports, as Markdown.

    OLD and NEW are folders of finetune export. Exits with 0 even if they differ,
    unless --exit-code is given.
    """
    found = compare(old, new)
    if as_json:
        click.echo(visible_json(orjson.dumps(found, option=orjson.OPT_INDENT_2)))
    else:
        click.echo("\n".join(_markdown(old, new, found)))
    if exit_code and not found["equal"]:
        sys.exit(1)


def _markdown(old: Path, new: Path, found: dict[str, Any]) -> list[str]:
    lines = [f"### {_cell(old)} → {_cell(new)}", ""]
    if found["equal"]:
        return [*lines, f"Nothing changed: {counted(found['pairs']['kept'], 'pair')}."]
    kinds = [kind.replace("_", " ") for kind in KINDS]
    lines += [f"| | {' | '.join(kinds)} |", "| --- " * 6 + "|"]
    for unit in ("pairs", "titles"):
        counts = [
            f"{found[unit][kind]:,}" if kind in found[unit] else "" for kind in KINDS
        ]
        lines.append(f"| {unit} | {' | '.join(counts)} |")
    for part in ("settings", "rules", "tests"):
        if found[part]:
            lines += ["", f"| {part} | before | after |", "| --- " * 3 + "|"]
            lines += [
                f"| {_cell(name)} | {_cell(change['old'])} | {_cell(change['new'])} |"
                for name, change in found[part].items()
            ]
    for kind, examples in found["pairs"]["samples"].items():
        if examples:
            lines += ["", f"{kind.replace('_', ' ').capitalize()}, such as:", ""]
            lines += [f"- {_cell(e['question'])} ({e['side']})" for e in examples]
    return lines


def _cell(value: object) -> str:
    """Return a value as a line of Markdown without markup, cut at 80 characters."""
    if value is None:
        return ""
    if isinstance(value, dict):
        value = ", ".join(
            f"{key} {item}" for key, item in value.items() if key not in _NAME_KEYS
        )
    text = "".join(c if c.isprintable() else " " for c in str(value))
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+!|~" else c for c in text)
