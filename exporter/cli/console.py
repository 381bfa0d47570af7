"""What every command shares: talk, options and exit codes."""

from datetime import date, datetime, timezone
from pathlib import Path

import click

from exporter.display import visible

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the data, the file or the server said no; one line says what and how to mend it
  2  wrong usage"""

PROJECT_DIR = click.option(
    "--project-dir",
    type=click.Path(path_type=Path),
    default="dbt_project",
    show_default=True,
    help="Where dbt_project.yml is.",
)

TARGET = click.option(
    "--target",
    type=click.Choice(["postgres", "spark"]),
    default="postgres",
    show_default=True,
    help="The engine that dbt builds on.",
)

OUTPUT_DIR = click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default="files",
    show_default=True,
    help="Folder of the files.",
)


def say(text: str) -> None:
    """Talk to the user; data alone goes to standard output.

    Newlines are ours: foreign text within comes `visible`, on one line.
    """
    click.echo("\n".join(map(visible, text.split("\n"))), err=True)


def today() -> date:
    """Return the day in UTC."""
    return datetime.now(timezone.utc).date()
