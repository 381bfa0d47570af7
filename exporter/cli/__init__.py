"""The command line: the only part that prints, reads options and exits."""

import signal
import sys
import weakref
from types import FrameType

import click

from exporter import __version__
from exporter.cli.check import check
from exporter.cli.console import EXIT_CODES, say
from exporter.cli.export import export
from exporter.cli.load import load
from exporter.cli.local import local
from exporter.cli.recipe import recipe
from exporter.cli.train import train
from exporter.cli.upload import upload
from exporter.cli.watch import watch
from exporter.errors import FinetuneError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="finetune")
def cli() -> None:
    """Take tested training pairs from PostgreSQL to a fine-tuning file.

    The server is the one that libpq's variables name (PGHOST, PGDATABASE, ...);
    with none of them set, an embedded PostgreSQL in ./.postgres serves.
    """


for command in (load, export, check, recipe, upload, train, watch, local):
    cli.add_command(command)


def _interrupt(_: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not where Python would print and drop it.

    An exception within the callback of a weak reference is lost (CPython 3.11,
    seen in one of three stops of a busy `finetune train`): try again in 10 ms.
    """
    if frame is not None and frame.f_code.co_filename == weakref.__file__:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        return
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    # A stopped command still leaves through its `finally` clauses.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        signal.signal(signal.SIGALRM, _interrupt)
    try:
        cli()
    except FinetuneError as error:
        say(f"finetune: {error}")
        sys.exit(1)
