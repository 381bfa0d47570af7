"""`finetune funnel`: what each rule dropped, with sample rows."""

from pathlib import Path
from typing import Any

import click
import orjson

from exporter.artifacts import Build
from exporter.cli.console import (
    EXIT_CODES,
    PROJECT_DIR,
    TARGET,
    TARGET_PATH,
    TEXT,
    option,
)
from exporter.cli.project import SNAPSHOTS, find_build
from exporter.cli.server import completing_dbt, server
from exporter.display import row_preview, visible, visible_json
from exporter.funnel import Funnel, dropped_samples, funnel_table, read_funnel
from exporter.progress import waiting

Samples = dict[str, list[dict[str, Any]]]


@click.command(epilog=EXIT_CODES)
@click.argument("name", required=False, type=TEXT)
@option(
    "--samples N",
    "Show up to N of the rows that each rule dropped.",
    click.IntRange(0, 1000),
    default=0,
)
@option("--json as_json", "Print JSON, not a table.")
@TARGET
@PROJECT_DIR
@TARGET_PATH
def funnel(
    name: str | None,
    samples: int,
    as_json: bool,
    target: str,
    project_dir: Path,
    target_path: Path | None,
) -> None:
    """Show what each rule dropped in the last build, with sample rows.

    NAME is the data set; it can be left out if the project has only one.
    """
    with completing_dbt(project_dir, target):
        build, _ = find_build(
            name, project_dir=project_dir, target_path=target_path, target=target
        )
        with server(target):
            found, dropped = read_funnel_and_samples(build, target, samples)
    if as_json:
        document = {**found._asdict(), "samples": dropped}
        click.echo(visible_json(orjson.dumps(document, str, orjson.OPT_INDENT_2)))
        return
    table = funnel_table(found.rules)
    if not table:
        raise build.data_set.error(
            "funnel",
            f"{build.funnel} has other columns than filter_funnel; add --json to see "
            "them",
        )
    click.echo(table)
    for rule, rows in dropped.items():
        counts = [r["rows_dropped"] for r in found.rules if r["rule"] == rule]
        verb = "merged" if "first_uid" in rows[0] else "dropped"
        number = ", ".join(f"{c:,}" for c in counts) or "rows"
        click.echo(f"\n{visible(rule)} {verb} {number}, such as:")
        for row in rows:
            click.echo(f"  {row_preview(row)}")


def read_funnel_and_samples(
    build: Build, target: str, limit: int
) -> tuple[Funnel, Samples]:
    """Return the funnel of a data set, and up to `limit` dropped rows per rule.

    Raises:
        FinetuneError: The data set names no model for them, or it cannot be read.
    """
    data_set = build.data_set
    if build.funnel is None:
        raise data_set.error(
            "funnel", "missing; name the model that counts what each rule drops"
        )
    if limit and build.outcomes is None:
        raise data_set.error(
            "outcomes", "missing; name the model that says which rule dropped a row"
        )
    used = [build.funnel]
    if limit and build.outcomes:
        used += [build.examples, build.outcomes]
    with SNAPSHOTS[target](build.examples, used) as snapshot:
        found = read_funnel(snapshot, build)
        with waiting("the server to find the samples"):
            return found, dropped_samples(snapshot, build, found, limit=limit)
