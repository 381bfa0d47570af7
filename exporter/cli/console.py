"""What every command shares: talk, options and exit codes."""

from contextvars import ContextVar
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


# What takes away the bar that stands on the terminal's last line, if there is one.
CLEARED: ContextVar[str] = ContextVar("cleared", default="")


def say(text: str) -> None:
    """Talk to the user; data alone goes to standard output.

    Newlines are ours: foreign text within comes `visible`, on one line.
    """
    lines = "\n".join(map(visible, text.split("\n")))
    click.echo(CLEARED.get() + lines, err=True)


def today() -> date:
    """Return the day in UTC."""
    return datetime.now(timezone.utc).date()
