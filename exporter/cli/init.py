"""`finetune init`: a new project folder."""

import shlex
import shutil
import sys
from pathlib import Path

import click

from exporter import template
from exporter.cli.console import EXIT_CODES, PATH, QUIET, say
from exporter.cli.stops import report_if_stopped


@click.command(epilog=EXIT_CODES)
@QUIET
@click.argument("folder", metavar="[DIR]", default=".", type=PATH)
def init(folder: Path) -> None:
    """Write a dbt project, Makefile, CI workflow and sample to a folder.

    DIR is the folder, by default this one. If one of the files exists already,
    nothing is written. Prints the paths.
    """
    report_if_stopped("nothing was written")
    written = template.write(folder)
    report_if_stopped("every file is written")
    for path in written:
        click.echo(path)
    commands = ["make export"]
    if folder.resolve() != Path.cwd():
        commands.insert(0, f"cd {shlex.quote(str(folder))}")
    activate = Path(sys.prefix, "bin/activate")
    if shutil.which("finetune") is None and activate.exists():
        commands.insert(0, f". {shlex.quote(str(activate))}")
    say(
        "next, to export the sample into files/:",
        *(f"  {command}" for command in commands),
        "then, with rows of your own:",
        "  finetune load FILE --replace",
        "  make export",
    )
