"""`finetune readers`: list the readers, or show all facts about one."""

from collections.abc import Sequence

import click

from exporter.checking.rules import read_rules
from exporter.cli.console import EXIT_CODES, today
from exporter.readers import Reader, read_readers


@click.command(epilog=EXIT_CODES)
@click.argument(
    "name", type=click.Choice([*read_readers()]), metavar="[NAME]", required=False
)
def readers(name: str | None) -> None:
    """List the providers, trainers and libraries that read the files.

    With NAME, show one with all its rules, limits, dates and sources.
    """
    known = read_readers()
    if name is None:
        for reader in known.values():
            recipe = f"finetune recipe {reader.name}" if reader.recipe else ""
            click.echo(
                f"{reader.name:15} {reader.kind:9} {reader.dialect:18} "
                f"{reader.state(today()):33} {recipe:29} {reader.title}"
            )
        return
    click.echo("\n".join(_lines(known[name])))


def _lines(reader: Reader) -> list[str]:
    """Return all facts about a reader, one per line."""
    severities = read_rules([reader.name]).severities[reader.name]

    def rules(severity: str) -> str:
        return ", ".join(rule for rule, s in severities.items() if s == severity)

    facts: dict[str, Sequence[str]] = {
        reader.name: [reader.title],
        "kind": [reader.kind],
        "state": [reader.state(today())],
        "sources": [f"{s.what}, read {s.read}" for s in reader.sources],
        "hosts": reader.hosts,
        "routes": reader.routes,
        "dialect": [reader.dialect],
        "limits": [f"{kind}: {limit:,}" for kind, limit in reader.limits.items()],
        "refuses": [rules("error")],
        "warns of": [rules("warning")],
        "accepts": [rules("accepted")],
        "reserved": [", ".join(reader.reserved)],
        "wants": [*reader.wants.values()],
        "closings": [f"{c.date}: {c.what}" for c in reader.closings],
        "instead": [reader.alternatives(today())] if reader.instead else [],
        "models": [f"{model}: until {end}" for model, end in reader.models.items()],
        "recipe": [f"finetune recipe {reader.name}"] if reader.recipe else [],
    }
    return [
        f"{title if index == 0 else '':9} {value}"
        for title, values in facts.items()
        for index, value in enumerate(filter(None, values))
    ]
