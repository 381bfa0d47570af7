"""The command line: reads options, prints, and decides exit codes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from exporter import __version__, artifacts, database, local_postgres
from exporter.chat import DEFAULT_SYSTEM_PROMPT
from exporter.errors import FinetuneError
from exporter.export import export as run_export
from exporter.files import drafts
from exporter.records import Reject, Row, read_rows

EXIT_CODES = """\b
Exit codes:
  0  done
  1  the data, the file or the server said no; one line says what and how to mend it
  2  wrong usage"""

LOCAL_FOLDER = Path(".postgres")


def say(text: str) -> None:
    """Talk to the user; data alone goes to standard output."""
    click.echo(text, err=True)


@contextmanager
def _server() -> Iterator[None]:
    """Use the server that PG* names, or else the embedded one."""
    if local_postgres.own_server_chosen():
        yield
        return
    with local_postgres.serving(LOCAL_FOLDER.absolute()) as variables:
        os.environ.update(variables)
        yield


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="finetune")
def cli() -> None:
    """Take tested training pairs from PostgreSQL to a fine-tuning file.

    The server is the one that libpq's variables name (PGHOST, PGDATABASE, ...);
    with none of them set, an embedded PostgreSQL in ./.postgres serves.
    """


PROJECT_DIR = click.option(
    "--project-dir",
    type=click.Path(path_type=Path),
    default="dbt_project",
    show_default=True,
    help="Where dbt_project.yml is.",
)


@cli.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--replace", "mode", flag_value="replace", help="Empty the table first.")
@click.option("--append", "mode", flag_value="append", help="Keep the rows there are.")
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    help="Set bad lines aside in this file, with the reason, and load the rest.",
)
@PROJECT_DIR
def load(
    files: tuple[Path, ...], mode: str | None, rejects: Path | None, project_dir: Path
) -> None:
    """Load JSON Lines or CSV, plain or .gz, - for stdin, into the raw table.

    The table and its columns are those that the vars in dbt_project.yml name;
    the table is made if it is missing. One transaction: a bad line stops it,
    and nothing is loaded.
    """
    table = artifacts.raw_table(project_dir)
    with _server():
        if rejects is None:
            count = database.load(table, _rows(files, table, _refuse), mode=mode)
        else:
            with drafts(rejects.parent, rejects.name) as [draft]:

                def set_aside(bad: Reject) -> None:
                    draft.write_line(
                        orjson.dumps(bad._asdict(), option=orjson.OPT_APPEND_NEWLINE)
                    )

                count = database.load(table, _rows(files, table, set_aside), mode=mode)
                bad_lines = draft.finish().lines
                draft.publish()
            say(f"{bad_lines:,} bad lines set aside in {rejects}")
    say(f"{count:,} rows loaded into {table}")


def _refuse(bad: Reject) -> None:
    raise FinetuneError(
        f"{bad}; nothing was loaded: mend the line, or set such lines aside with "
        "--rejects FILE"
    )


def _rows(
    files: Sequence[Path],
    table: database.RawTable,
    reject: Callable[[Reject], None],
) -> Iterator[Row]:
    for path in files:
        yield from read_rows(path, table.columns, reject)


@cli.command(epilog=EXIT_CODES)
@click.option(
    "-o",
    "--output-dir",
    type=click.Path(path_type=Path),
    default="files",
    show_default=True,
    help="Folder of the files to write.",
)
@click.option("--system-prompt", metavar="TEXT", help="Text of the system message.")
@click.option(
    "--system-prompt-file",
    type=click.Path(path_type=Path),
    help="File with the text of the system message.",
)
@click.option("--no-system", is_flag=True, help="Write no system message.")
@click.option(
    "--no-gate",
    is_flag=True,
    help="Write rows that were not tested; the manifest will say so.",
)
@PROJECT_DIR
@click.option(
    "--target-path",
    type=click.Path(path_type=Path),
    help="dbt's target folder.  [default: target in the project folder]",
)
def export(
    output_dir: Path,
    system_prompt: str | None,
    system_prompt_file: Path | None,
    no_system: bool,
    no_gate: bool,
    project_dir: Path,
    target_path: Path | None,
) -> None:
    """Test the pairs again and write them, from one snapshot, as chat JSONL.

    Writes clean.jsonl, train.jsonl, valid.jsonl if there is a validation split,
    and manifest.json; prints their paths.
    """
    system = _system_prompt(system_prompt, system_prompt_file, no_system)
    build = artifacts.read_build(project_dir, target_path or project_dir / "target")
    if no_gate:
        say("WARNING: --no-gate: the rows are not tested, and the manifest says so")
    with _server():
        written = run_export(
            build, output_dir=output_dir, system=system, gate=not no_gate, say=say
        )
    for path in written:
        click.echo(path)


def _system_prompt(text: str | None, file: Path | None, none: bool) -> str | None:
    if sum([text is not None, file is not None, none]) > 1:
        raise click.UsageError(
            "--system-prompt, --system-prompt-file and --no-system exclude each other"
        )
    if none:
        return None
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise FinetuneError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise FinetuneError(f"{file}: not UTF-8: {error.reason}") from error
    if text is None:
        return DEFAULT_SYSTEM_PROMPT
    if not text.strip():
        raise click.UsageError("the system prompt is empty; for none say --no-system")
    return text


@cli.group()
def local() -> None:
    """Work with the embedded PostgreSQL in ./.postgres."""


@local.command(
    "run",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=EXIT_CODES,
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def local_run(command: tuple[str, ...]) -> None:
    """Run COMMAND with libpq's variables set, and exit as it does.

    The server is started for it, and stopped after it unless others use it; a
    server that PG* names is used as it is.
    """
    with _server():
        environment = os.environ | database.connection_environment()
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
    context.invoke(local_run, command=(str(local_postgres.psql()), *arguments))


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
    if local_postgres.own_server_chosen() and not local_postgres.is_serving(
        LOCAL_FOLDER.absolute()
    ):
        say("PG* names a server of your own: nothing loaded")
        return
    with _server():
        if not database.raw_table_exists(artifacts.raw_table(project_dir)):
            context.invoke(
                load, files=files, mode=None, rejects=None, project_dir=project_dir
            )


@local.command("stop", epilog=EXIT_CODES)
def local_stop() -> None:
    """Stop the embedded server, whoever uses it."""
    stopped = local_postgres.stop(LOCAL_FOLDER.absolute())
    say("stopped" if stopped else "not running")


def main() -> None:
    """Run the command line; the only place where errors become exit codes."""
    # A stopped command still leaves through its `finally` clauses.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        cli()
    except FinetuneError as error:
        say(f"finetune: {error}")
        sys.exit(1)
