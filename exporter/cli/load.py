"""`finetune load`: rows from files into the raw table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import orjson

from exporter import artifacts
from exporter.cli.console import EXIT_CODES, PATH, PROJECT_DIR, QUIET, TEXT, option, say
from exporter.cli.server import complete_dbt, server
from exporter.cli.stops import report_if_stopped
from exporter.display import counted
from exporter.engines import raw_table
from exporter.engines.relations import RawTable
from exporter.errors import FinetuneError
from exporter.files import drafts, publish
from exporter.progress import Step, step
from exporter.records import Block, Columns, LoadStats, Reject, read_rows


@click.command(epilog=EXIT_CODES)
@click.argument("files", nargs=-1, required=True, type=PATH)
@option("--replace", "Empty the table first.")
@option("--append", "Add to the rows in the table.")
@option(
    "--rejects FILE",
    "Write bad lines to this file, each with its reason, and load the rest, unless "
    "too many are bad.",
    PATH,
)
@option("--table [SCHEMA.]NAME", "The table to load into.", TEXT)
@option("--id id_column COLUMN", "Column with the id.", TEXT)
@option("--no-id", "Load rows that have no id.")
@option("--title COLUMN", "Column with the title.", TEXT)
@option("--content COLUMN", "Column with the description.", TEXT)
@PROJECT_DIR
@QUIET
def load(
    files: tuple[Path, ...],
    replace: bool,
    append: bool,
    rejects: Path | None,
    table: str | None,
    id_column: str | None,
    no_id: bool,
    title: str | None,
    content: str | None,
    project_dir: Path,
) -> None:
    """Load rows from CSV, JSON Lines or a JSON array into the raw table.

    FILES may be compressed by gzip; - is standard input. Columns have the same
    names in file and table; by default those in the vars of dbt_project.yml. A
    missing table is created. All FILES are one transaction: if a line is bad,
    nothing is loaded.
    """
    if replace and append:
        raise click.UsageError("--replace and --append: give only one")
    if id_column and no_id:
        raise click.UsageError("--id and --no-id: give only one")
    raw = _raw_table(project_dir, table, (id_column, title, content))
    columns = Columns(None if no_id else raw.columns[0], *raw.columns[1:])
    mode = "replace" if replace else "append" if append else None
    for note in load_files(files, raw, columns, mode=mode, rejects=rejects):
        say(note)
    _say_next_steps(project_dir, raw)


def load_files(
    files: Sequence[Path],
    raw: RawTable,
    columns: Columns,
    *,
    mode: str | None = None,
    rejects: Path | None = None,
) -> list[str]:
    """Load the files in one transaction and report it; return notes on their columns.

    Raises:
        FinetuneError: A file or a line is refused, or the server reports an error.
    """
    report_if_stopped(f"nothing was loaded; {raw} is as it was")
    size = sum(path.stat().st_size for path in files if path.is_file())
    with (
        server(),
        _load_stats(rejects, files) as stats,
        step(Step("loading", size, "bytes", lambda: stats.bytes_read)),
    ):
        count = raw_table.load(
            raw,
            _read_files(files, columns, stats),
            mode=mode,
            on_commit=lambda n: report_if_stopped(
                f"{counted(n, 'row')} loaded into {raw}"
            ),
        )
    if rejects:
        say(f"{counted(stats.rejected_lines, 'bad line')} written to {rejects}")
    say(f"{counted(count, 'row')} loaded into {raw}")
    if count != stats.rows:
        say(
            f"warning: {counted(stats.rows, 'row')} sent; a trigger of {raw} "
            "dropped the others, or moved them to other tables"
        )
    if stats.rejected_lines:
        say(
            f"{counted(stats.lines, 'line')} read: {stats.row_lines:,} with rows, "
            f"{stats.rejected_lines:,} bad, {stats.skipped_lines:,} header or blank"
        )
    return stats.notes


def _raw_table(
    project_dir: Path, table: str | None, columns: tuple[str | None, ...]
) -> RawTable:
    """Return the raw table of the options; the vars give what they leave out."""
    schema, _, name = (table or "").rpartition(".")
    if name and all(columns):
        default = RawTable("public", name, ("", "", ""))
    else:
        try:
            default = artifacts.read_raw_table(project_dir)
        except FinetuneError as error:
            raise FinetuneError(
                f"{error}, or give --table, --id, --title and --content"
            ) from error
    uid, title, content = (
        given or other for given, other in zip(columns, default.columns, strict=True)
    )
    return RawTable(
        schema or default.schema, name or default.name, (uid, title, content)
    )


@contextmanager
def _load_stats(rejects: Path | None, files: Sequence[Path]) -> Iterator[LoadStats]:
    """Yield the counts of the load; a bad line ends it, or is written to `rejects`."""
    if rejects is None:
        yield LoadStats(_refuse)
        return
    # The file behind standard input must not be overwritten either.
    inputs = [Path("/dev/stdin") if str(f) == "-" else f for f in files]
    with drafts(rejects.parent, rejects.name, inputs=inputs) as [draft]:

        def write(bad: Reject) -> None:
            draft.write_line(
                orjson.dumps(bad._asdict(), option=orjson.OPT_APPEND_NEWLINE)
            )

        stats = LoadStats(write)
        try:
            yield stats
        except FinetuneError:
            if stats.rejected_lines:  # They explain why nothing was loaded.
                draft.finish()
                publish(draft)
            raise
        draft.finish()
        publish(draft)


def _read_files(
    files: Sequence[Path], columns: Columns, stats: LoadStats
) -> Iterator[Block]:
    """Yield the rows of all files.

    Raises:
        FinetuneError: A file cannot be read, or too many lines are bad.
    """
    for path in files:
        yield from read_rows(path, columns, stats)
    if stats.rows and stats.too_many_rejected:
        raise FinetuneError(
            f"{stats.rejected_lines:,} of {counted(stats.lines, 'line')} are bad, "
            "too many: nothing was loaded; fix them first"
        )
    if not stats.rows and stats.rejected_lines:
        raise FinetuneError(
            f"none of {counted(stats.lines, 'line')} has a usable row: nothing was "
            f"loaded; the last fault: {stats.last_reject}"
        )


def _refuse(bad: Reject) -> None:
    raise FinetuneError(
        f"{bad}; nothing was loaded: fix the line, or skip bad lines with "
        "--rejects FILE"
    )


def _say_next_steps(project_dir: Path, raw: RawTable) -> None:
    """Show the next command, and the vars to set if they name another table."""
    try:
        in_vars = artifacts.read_raw_table(project_dir)
    except FinetuneError:
        in_vars = None
    if in_vars != raw:
        say(f"next: set these vars in {project_dir / 'dbt_project.yml'}")
        values = raw.schema, raw.name, *raw.columns
        for name, value in zip(artifacts.RAW_VARS, values, strict=True):
            say(f"  {name}: {orjson.dumps(value).decode()}")
    if Path("Makefile").exists():
        say("next: make export")
    else:
        say(complete_dbt("next: dbt build", project_dir))
