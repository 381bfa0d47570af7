"""The command line: the only part that prints, reads options and exits."""

import sys
from contextlib import suppress
from importlib import import_module

import click

from exporter import __version__
from exporter.cli.console import EXIT_CODES, say
from exporter.cli.programs import die_with_make
from exporter.cli.progress import show
from exporter.cli.stops import find_stop, stoppable
from exporter.errors import FinetuneError, exhausted
from exporter.progress import set_printer, set_watcher

# In the order in which a user runs them; each is in the module of its name.
GROUPS = {
    "Start": {
        "init": "Write a dbt project, Makefile, CI workflow and sample to a folder.",
        "load": "Load rows from CSV, JSON Lines or a JSON array into the raw table.",
        "local": "Run the embedded PostgreSQL in ./.postgres, or a program on it.",
    },
    "Data set": {
        "funnel": "Show what each rule dropped in the last build, with sample rows.",
        "export": "Test the examples of a data set again and write them as JSONL.",
        "diff": "Show what came, went or changed between two exports, as Markdown.",
        "report": "Show the last export as a page, report.html, and a card, README.md.",
    },
    "Files": {
        "check": "Check FILES against the rules of every reader, offline.",
        "readers": "List the providers, trainers and libraries that read the files.",
        "recipe": "Print the shortest correct configuration or command for READER.",
    },
    "Train": {
        "upload": "Send train.jsonl and, if there is one, valid.jsonl; print the ids.",
        "train": "Create a fine-tuning job of the uploaded files; print its id.",
        "watch": "Follow JOB until it ends; print the name of the new model.",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}


class _LazyGroup(click.Group):
    """Commands that are imported when they are called, so that all start fast."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"exporter.cli.{name}"), name)
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(n.ljust(width), t) for n, t in commands.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXIT_CODES,
)
@click.version_option(__version__, "-V", "--version", prog_name="finetune")
def cli() -> None:
    """Take tested training pairs from PostgreSQL to a fine-tuning file.

    The server is the one that libpq's variables name (PGHOST, PGDATABASE, ...);
    with none of them set, an embedded PostgreSQL in ./.postgres serves.
    """


def main() -> None:
    """Run the command line; only here do errors become exit codes."""
    with stoppable():
        die_with_make()
        set_watcher(show)
        set_printer(say)
        try:
            cli(prog_name="finetune")
        except Exception as error:
            line = error if isinstance(error, FinetuneError) else exhausted(error)
            if line is None or find_stop(error):
                raise
            with suppress(OSError):
                say(f"finetune: {line}")
            _close_full_streams()
            sys.exit(1)


def _close_full_streams() -> None:
    """Close streams that cannot be flushed, or Python exits with 120 for them."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                stream.close()
