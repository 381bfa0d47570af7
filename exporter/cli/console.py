"""What the commands share: messages, options and exit codes."""

from contextvars import ContextVar
from datetime import date, datetime, timezone
from pathlib import Path

import click

from exporter.display import visible

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the data, the file or the server said no; one line says how to fix it
  2  wrong usage
  130, 143, 129  stopped by Ctrl-C, SIGTERM, SIGHUP; a line says what was done"""

PROJECT_DIR = click.option(
    "--project-dir",
    type=click.Path(path_type=Path),
    default="dbt_project",
    show_default=True,
    metavar="DIR",
    help="Folder of dbt_project.yml.",
)

TARGET = click.option(
    "--target",
    type=click.Choice(["postgres", "spark"]),
    default="postgres",
    help="The engine that dbt builds on; postgres by default.",
)

OUTPUT_DIR = click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default="files",
    show_default=True,
    metavar="DIR",
    help="Folder of the files.",
)


def _be_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta["finetune.quiet"] = value


PRICE = click.option(
    "--price",
    type=click.FloatRange(min=0),
    metavar="AMOUNT",
    help="Price of a million trained tokens, for the bill.",
)
ENCODING = click.option(
    "--encoding",
    default="o200k_base",
    show_default=True,
    metavar="NAME",
    help="Count with this encoding of tiktoken, or that of this model.",
)
QUIET = click.option(
    "-q",
    "--quiet",
    is_flag=True,
    expose_value=False,
    callback=_be_quiet,
    help="Print nothing to stderr but errors.",
)

# What takes away the bar that stands on the terminal's last line, if there is one.
CLEARED: ContextVar[str] = ContextVar("cleared", default="")


def say(*lines: str) -> None:
    """Talk to the user, line by line; data alone goes to standard output.

    A newline within a line is foreign, and shown as an escape, like all control
    characters: else it would forge a line of ours.
    """
    if is_quiet():
        return
    click.echo(CLEARED.get() + "\n".join(map(visible, lines)), err=True)


def is_quiet() -> bool:
    """Return whether the running command was given --quiet."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("finetune.quiet"))


def today() -> date:
    """Return the day in UTC."""
    return datetime.now(timezone.utc).date()
