"""`finetune report`: the last export as a page, and its card."""

import shlex
from pathlib import Path
from typing import Any

import click

from exporter.cli.console import (
    EXIT_CODES,
    OUTPUT_DIR,
    PATH,
    PRICE,
    PROJECT_DIR,
    QUIET,
    TEXT,
    option,
    say,
)
from exporter.cli.funnel import Samples, read_funnel_and_samples
from exporter.cli.project import find_build
from exporter.cli.server import LOCAL_FOLDER, server, uses_own_server
from exporter.cli.stops import report_if_stopped
from exporter.errors import FinetuneError
from exporter.report import CARD, write
from exporter.report.context import Options

# Show this many dropped rows of each rule.
_SAMPLES = 3
_NO_SAMPLES = (
    "Samples of dropped rows need the database of this build: run finetune report "
    "where that can be reached."
)


@click.command(epilog=EXIT_CODES)
@OUTPUT_DIR
@option(
    "--epochs N",
    "Times that the data is trained on, for the bill.",
    click.IntRange(min=1),
)
@PRICE
@option("--license ID", "Licence in the card, such as cc0-1.0.", TEXT)
@option(
    "--language languages CODE",
    "Language in the card, such as en; repeatable.",
    TEXT,
    multiple=True,
)
@option("--since DIR", "An earlier export, to show what changed.", PATH)
@PROJECT_DIR
@QUIET
def report(
    output_dir: Path,
    epochs: int | None,
    price: float | None,
    license: str | None,  # noqa: A002 (the name of the option)
    languages: tuple[str, ...],
    since: Path | None,
    project_dir: Path,
) -> None:
    """Show the last export as a page, report.html, and a card, README.md.

    Both are written beside the export, after its hashes are verified. The page is
    one file without script; the card is for Hugging Face's hub. Sample rows that
    the rules dropped are shown if the database of the build can be reached.
    """
    options = Options(epochs, price, license, languages)
    report_if_stopped(f"the page and the card in {output_dir} are complete, old or new")
    written = write(
        output_dir,
        options,
        samples=lambda document: _samples(document, project_dir),
        since=since,
        documentation=project_dir / "target/static_index.html",
    )
    for path in written:
        click.echo(path)
    if len(written) == 1:
        say(
            f"{output_dir / CARD} is not replaced, because finetune report did not "
            f"write it; to get a card: rm {shlex.quote(str(output_dir / CARD))}"
        )


def _samples(document: dict[str, Any], project_dir: Path) -> Samples | str:
    """Return what each rule dropped in the exported build, or why it is not known."""
    target = document["engine"]
    if target == "postgres" and not (uses_own_server() or LOCAL_FOLDER.is_dir()):
        return _NO_SAMPLES
    try:
        build, _ = find_build(
            document["data_set"]["name"],
            project_dir=project_dir,
            target_path=None,
            target=target,
        )
        with server(target):
            found, samples = read_funnel_and_samples(build, target, _SAMPLES)
        if found.invocation_id == document["dbt"]["invocation_id"]:
            return samples
        reason = "dbt has built again since the export"
    except (FinetuneError, click.UsageError) as error:
        reason = str(error)
    say(f"no samples of dropped rows: {reason}")
    return _NO_SAMPLES
