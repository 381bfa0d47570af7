"""Messages, options and exit codes that the commands share."""

import math
import os
from collections.abc import Callable
from contextvars import ContextVar
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

import click

from exporter.display import visible

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_CODES = """\b
Exit codes:
  0  done
  1  an error in the data, a file or the server; one line says how to fix it
  2  wrong usage
  130, 143, 129  stopped by Ctrl-C, SIGTERM, SIGHUP; a line reports the state"""


class _Text(click.types.StringParamType):
    """Text in UTF-8, whatever the locale is."""

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the text, or refuse it as wrong usage."""
        try:
            return os.fsencode(value).decode()
        except UnicodeError:
            self.fail(f"{visible(value)} is not UTF-8", param, ctx)


class Number(click.FloatRange):
    """A number in a range with an upper end, because what is huge overflows."""

    def __init__(self, low: float, high: float, *, above: bool = False) -> None:
        """Set both ends; with `above`, the lower one is not in the range."""
        super().__init__(low, high, min_open=above)

    def convert(
        self,
        value: Any,  # noqa: ANN401
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the number, or refuse it as wrong usage."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number", param, ctx)
        return number


TEXT = _Text()
PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
# A week; a longer time to wait for an answer overflows.
_MAX_SECONDS = 604_800
SECONDS = Number(0, _MAX_SECONDS, above=True)
SECONDS_OR_ZERO = Number(0, _MAX_SECONDS)


def option(
    shown: str,
    text: str,
    type_: "click.ParamType[Any] | None" = None,
    default: object = None,
    **more: Any,  # noqa: ANN401
) -> Callable[[Command], Command]:
    """Return an option from the two columns of its help, such as "-o --output-dir DIR".

    Without a type it is a flag. The help shows the default. `more` goes to Click.
    """
    names = shown.split()
    if type_ is None:
        more["is_flag"] = True
    else:
        more["type"] = type_
        if names[-1].isupper():
            more["metavar"] = names.pop()
    if default is not None:
        more |= {"default": default, "show_default": not callable(default)}
    return click.option(*names, help=text, **more)


def _project_dir() -> str:
    """Return dbt_project, or this folder if it has the project and its profile.

    In the project of a folder of `finetune init`, whose profile is one level up,
    another embedded server would be started.
    """
    there = Path("dbt_project/dbt_project.yml").is_file()
    here = Path("dbt_project.yml").is_file() and not Path("../profiles.yml").exists()
    return "." if here and not there else "dbt_project"


PROJECT_DIR = option(
    "--project-dir DIR",
    "Folder of dbt_project.yml.  [default: dbt_project, or this folder]",
    PATH,
    _project_dir,
)
TARGET_PATH = option(
    "--target-path DIR",
    "dbt's target folder.  [default: target in the project folder]",
    PATH,
)
TARGET = option(
    "--target",
    "The engine that dbt builds on.",
    click.Choice(["postgres", "spark"]),
    "postgres",
)
OUTPUT_DIR = option("-o --output-dir DIR", "Folder of the files.", PATH, "files")
PRICE = option(
    "--price AMOUNT",
    "Price of a million trained tokens, for the bill.",
    Number(0, 1_000_000),
)
ENCODING = option(
    "--encoding NAME",
    "Count with this encoding of tiktoken, or that of this model.",
    TEXT,
    "o200k_base",
)


def _set_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta["finetune.quiet"] = value


QUIET = option(
    "-q --quiet",
    "Print nothing to stderr but errors.",
    expose_value=False,
    callback=_set_quiet,
)

# What clears the bar on the last line of the terminal; empty if there is none.
CLEAR_BAR: ContextVar[str] = ContextVar("clear_bar", default="")


def say(*lines: str) -> None:
    """Print messages to standard error, one per line.

    Control characters are shown as escapes, newlines too, because foreign text could
    forge a message with them.
    """
    if is_quiet():
        return
    click.echo(CLEAR_BAR.get() + "\n".join(map(visible, lines)), err=True)


def is_quiet() -> bool:
    """Return whether the running command was given --quiet."""
    context = click.get_current_context(silent=True)
    return bool(context and context.meta.get("finetune.quiet"))


def today() -> date:
    """Return the current date in UTC."""
    return datetime.now(timezone.utc).date()
