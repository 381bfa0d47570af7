"""`finetune local`: the embedded PostgreSQL and programs that use it."""

import os
import subprocess
import sys
from pathlib import Path

import click

from exporter import artifacts
from exporter.cli.console import EXIT_CODES, PROJECT_DIR, TARGET, say
from exporter.cli.load import load
from exporter.cli.server import LOCAL_FOLDER, server
from exporter.engines import embedded, postgres
from exporter.errors import FinetuneError


@click.group()
def local() -> None:
    """Work with the embedded PostgreSQL in ./.postgres."""


@local.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=EXIT_CODES,
)
@TARGET
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def local_run(command: tuple[str, ...], target: str) -> None:
    """Run COMMAND with libpq's variables set, and exit as it does.

    The server is started for it, and stopped after it unless others use it; a
    server that PG* or, with --target spark, SPARK_REMOTE names is used as it is.
    """
    with server(target):
        environment = os.environ | postgres.connection_environment()
        try:
            process = subprocess.Popen(command, env=environment)
        except OSError as error:
            raise FinetuneError(f"{command[0]}: {error.strerror}") from error
        code = _wait(process)
    sys.exit(code if code >= 0 else 128 - code)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the command; pass a SIGTERM on to it."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # The terminal has sent it to the command too.
        except SystemExit:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


@local.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def local_psql(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Open psql, or pass it ARGUMENTS."""
    context.invoke(local_run, command=(str(embedded.psql()), *arguments))


@local.command("seed", epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@PROJECT_DIR
@click.pass_context
def local_seed(
    context: click.Context, files: tuple[Path, ...], project_dir: Path
) -> None:
    """Load FILES if the embedded server has no raw table yet.

    A server that PG* names is left alone.
    """
    if embedded.own_server_chosen() and not embedded.is_serving(
        LOCAL_FOLDER.absolute()
    ):
        say("PG* names a server of your own: nothing loaded")
        return
    with server():
        if not postgres.raw_table_exists(artifacts.raw_table(project_dir)):
            context.invoke(load, files=files, terse=True, project_dir=project_dir)


@local.command("stop", epilog=EXIT_CODES)
def local_stop() -> None:
    """Stop the embedded server, whoever uses it."""
    stopped = embedded.stop(LOCAL_FOLDER.absolute())
    say("stopped" if stopped else "not running")
