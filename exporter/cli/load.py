"""`finetune load`: rows from files into the raw table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from exporter import artifacts
from exporter.cli.console import EXIT_CODES, PATH, PROJECT_DIR, QUIET, option, say
from exporter.cli.server import server, with_dbt
from exporter.cli.stops import stands
from exporter.display import counted
from exporter.engines import raw_table
from exporter.engines.relations import RawTable
from exporter.errors import FinetuneError
from exporter.files import drafts, publish
from exporter.progress import Step, step
from exporter.records import Block, Columns, Intake, Reject, read_rows


@click.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True, type=PATH)
@option("--replace mode", "Empty the table first.", flag_value="replace")
@option("--append mode", "Keep the rows in the table.", flag_value="append")
@option(
    "--rejects FILE",
    "Write bad lines to this file, each with its reason, and load the rest, unless "
    "too many are bad.",
    PATH,
)
@option("--table [SCHEMA.]NAME", "The table to load into.", click.STRING)
@option("--id id_column COLUMN", "Column with the id.", click.STRING)
@option("--no-id", "Load rows that have no id.")
@option("--title COLUMN", "Column with the title.", click.STRING)
@option("--content COLUMN", "Column with the description.", click.STRING)
@option("--terse", "", hidden=True)
@PROJECT_DIR
@QUIET
def load(
    files: tuple[Path, ...],
    mode: str | None,
    rejects: Path | None,
    table: str | None,
    id_column: str | None,
    no_id: bool,
    title: str | None,
    content: str | None,
    terse: bool,
    project_dir: Path,
) -> None:
    """Load rows from CSV, JSON Lines or a JSON array into the raw table.

    FILES may be compressed by gzip; - is standard input. Columns have the same
    names in file and table; by default those in the vars of dbt_project.yml. A
    missing table is created. All FILES are one transaction: if a line is bad,
    nothing is loaded.
    """
    names = [*(table or "").rpartition("."), id_column, title, content]
    del names[1]
    raw = _chosen(project_dir, names)
    columns = Columns(None if no_id else raw.columns[0], *raw.columns[1:])
    stands(f"nothing was loaded; {raw} is as it was")
    with server(), _taking(rejects, files) as intake:
        blocks = _blocks(files, columns, intake)
        with step(_loading(files, intake)):
            count = raw_table.load(
                raw,
                blocks,
                mode=mode,
                loaded=lambda n: stands(f"{counted(n, 'row')} loaded into {raw}"),
            )
    if rejects:
        say(f"{counted(intake.bad_lines, 'bad line')} set aside in {rejects}")
    say(f"{counted(count, 'row')} loaded into {raw}")
    if intake.bad_lines:
        say(
            f"{counted(intake.lines, 'line')} read: {intake.row_lines:,} hold rows, "
            f"{intake.bad_lines:,} set aside, {intake.other_lines:,} header or blank"
        )
    if not terse:
        for line in intake.loaded:
            say(line)
        _say_how_to_go_on(project_dir, raw)


def _chosen(project_dir: Path, names: Sequence[str | None]) -> RawTable:
    """Return the raw table as it is named, or else as the vars have it."""
    schema, table, *columns = names
    if table and all(columns):
        found = RawTable("public", table, ("", "", ""))
    else:
        try:
            found = artifacts.raw_names(project_dir)
        except FinetuneError as error:
            raise FinetuneError(
                f"{error}, or give --table, --id, --title and --content"
            ) from error
    uid, title, content = (
        given or other for given, other in zip(columns, found.columns, strict=True)
    )
    return RawTable(schema or found.schema, table or found.name, (uid, title, content))


@contextmanager
def _taking(rejects: Path | None, files: Sequence[Path]) -> Iterator[Intake]:
    """Yield what counts lines; a bad one ends the load, or goes to `rejects`."""
    if rejects is None:
        yield Intake(_refuse)
        return
    # What standard input comes from is an input, too.
    inputs = [Path("/dev/stdin") if str(f) == "-" else f for f in files]
    with drafts(rejects.parent, rejects.name, inputs=inputs) as [draft]:

        def set_aside(bad: Reject) -> None:
            draft.write_line(
                orjson.dumps(bad._asdict(), option=orjson.OPT_APPEND_NEWLINE)
            )

        intake = Intake(set_aside)
        try:
            yield intake
        except FinetuneError:
            if intake.bad_lines:  # They say why nothing was loaded.
                draft.finish()
                publish(draft)
            raise
        draft.finish()
        publish(draft)


def _loading(files: Sequence[Path], intake: Intake) -> Step:
    """Return the step that reads the files."""
    size = sum(path.stat().st_size for path in files if path.is_file())
    return Step("loading", size, "bytes", lambda: intake.position)


def _blocks(files: Sequence[Path], columns: Columns, intake: Intake) -> Iterator[Block]:
    for path in files:
        yield from read_rows(path, columns, intake)
        if intake.found:
            others = [name for name in intake.found if name not in columns]
            intake.loaded.append(
                f"{path}: columns {', '.join(columns.wanted())} loaded"
                + (f"; passed over: {', '.join(others)}" if others else "")
            )
    if intake.rows and intake.too_many:
        raise FinetuneError(
            f"{intake.bad_lines:,} of {counted(intake.lines, 'line')} are bad, "
            "too many: nothing was loaded; fix them first"
        )
    if not intake.rows and intake.bad_lines:
        raise FinetuneError(
            f"none of {counted(intake.lines, 'line')} holds a row: nothing was "
            f"loaded; the last fault: {intake.last}"
        )


def _refuse(bad: Reject) -> None:
    raise FinetuneError(
        f"{bad}; nothing was loaded: fix the line, or skip bad lines with "
        "--rejects FILE"
    )


def _say_how_to_go_on(project_dir: Path, raw: RawTable) -> None:
    """Name the next command, and the vars to set where they are others."""
    path = project_dir / "dbt_project.yml"
    try:
        chosen = artifacts.raw_names(project_dir)
    except FinetuneError:
        chosen = None
    if chosen != raw:
        say(f"next: set these vars in {path}")
        values = raw.schema, raw.name, *raw.columns
        for name, value in zip(artifacts.RAW_VARS, values, strict=True):
            say(f"  {name}: {orjson.dumps(value).decode()}")
    if Path("Makefile").exists():
        say("next: make export")
    else:
        say(with_dbt("next: dbt build", project_dir))
