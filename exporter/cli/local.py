"""`finetune local`: the embedded PostgreSQL and programs that use it."""

import os
import sys
from pathlib import Path

import click

from exporter import artifacts
from exporter.cli.console import EXIT_CODES, PATH, PROJECT_DIR, TARGET, say
from exporter.cli.load import load_files
from exporter.cli.programs import run_program
from exporter.cli.server import LOCAL_FOLDER, server, uses_own_server
from exporter.cli.stops import report_if_stopped
from exporter.engines import embedded, raw_table
from exporter.engines.connection import connection_environment
from exporter.engines.home import socket_path_fits
from exporter.engines.relations import RawTable
from exporter.errors import FinetuneError
from exporter.records import Columns

# The table of the sample; `make export` loads the sample into no other table.
_SAMPLE = RawTable("public", "product", ("uid", "title", "content"))


class _UnsortedGroup(click.Group):
    """Commands in the order of their definition."""

    def list_commands(self, _: click.Context) -> list[str]:
        return [*self.commands]


@click.group(cls=_UnsortedGroup)
def local() -> None:
    """Run the embedded PostgreSQL in ./.postgres, or a program on it.

    Every command starts the server by itself if it needs it.
    """


@local.command("start", epilog=EXIT_CODES)
def local_start() -> None:
    """Start the embedded server and keep it running.

    dbt then finds it in this folder, with no variable set.
    """
    if uses_own_server():
        names = " ".join(
            name for name in embedded.CONNECTION_VARIABLES if name in os.environ
        )
        raise FinetuneError(
            f"PG* names a server of your own, so the embedded one is not used; "
            f"unset {names}"
        )
    report_if_stopped("finetune local stop stops what was started")
    folder = LOCAL_FOLDER.absolute()
    variables = embedded.start(folder)
    say("running until: finetune local stop")
    if not socket_path_fits(folder):
        exports = " ".join(f"{name}={value}" for name, value in variables.items())
        say(
            f"the path of this folder is too long or has a comma, so dbt needs: "
            f"export {exports}"
        )


@local.command("stop", epilog=EXIT_CODES)
def local_stop() -> None:
    """Stop the embedded server, even if it is in use."""
    report_if_stopped("run finetune local stop again")
    stopped = embedded.stop(LOCAL_FOLDER.absolute())
    say("stopped" if stopped else "not running")


@local.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=EXIT_CODES,
)
@TARGET
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def local_run(command: tuple[str, ...], target: str) -> None:
    """Run COMMAND with libpq's variables set; exit with its code.

    The server is started for it and stopped after it, unless others use it. If
    PG* or, with --target spark, SPARK_REMOTE name a server of your own, COMMAND
    runs on that one.
    """
    _name_own_server(target)
    with server(target):
        environment = os.environ | connection_environment()
        # COMMAND finds dbt beside Python, even if no environment is activated.
        scripts = Path(sys.executable).parent
        environment["PATH"] = f"{os.environ.get('PATH', os.defpath)}:{scripts}"
        report_if_stopped(f"{command[0]} was stopped, too")
        code = run_program(command, environment)
    sys.exit(code if code >= 0 else 128 - code)


def _name_own_server(target: str) -> None:
    """Name the server if it is not the embedded one, because `local` suggests that."""
    if target == "spark" or not uses_own_server():
        return
    known = connection_environment()
    names = ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE")
    facts = [f"{name}={known[name]}" for name in names if name in known]
    say(f"on your own server: {' '.join(facts)}")


@local.command(
    "psql", context_settings={"ignore_unknown_options": True}, epilog=EXIT_CODES
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def local_psql(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Open psql on the server, with ARGUMENTS if given."""
    context.invoke(local_run, command=(str(embedded.psql()), *arguments))


@local.command("seed", epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True, type=PATH)
@PROJECT_DIR
def local_seed(files: tuple[Path, ...], project_dir: Path) -> None:
    """Load FILES, the sample, if the raw table is missing.

    Only the embedded server and the table of the shipped vars get the sample. If the
    table exists, its columns are compared with the vars.
    """
    table = artifacts.read_raw_table(project_dir)
    settings = project_dir / "dbt_project.yml"
    with server():
        columns = raw_table.columns(table)
        if not columns and table == _SAMPLE and not uses_own_server():
            load_files(files, table, Columns(*table.columns))
            return
        if not columns:
            raise FinetuneError(
                f"{table} does not exist; set raw_schema and raw_table in {settings} "
                "to your table, or create it with finetune load FILE"
            )
    for var, name in zip(artifacts.RAW_VARS[2:], table.columns, strict=True):
        if name not in columns:
            raise FinetuneError(
                f"{table} has no column {name}; it has {', '.join(columns)}: set {var} "
                f"in {settings}"
            )
