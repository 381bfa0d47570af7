"""`finetune load`: rows from files into the raw table."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import orjson

from exporter import artifacts
from exporter.cli.console import EXIT_CODES, PROJECT_DIR, say
from exporter.cli.server import server
from exporter.engines import postgres
from exporter.engines.relations import RawTable
from exporter.errors import FinetuneError
from exporter.files import drafts, publish
from exporter.records import Reject, Row, read_rows


@click.command(epilog=EXIT_CODES)
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
    with server():
        if rejects is None:
            count = postgres.load(table, _rows(files, table, _refuse), mode=mode)
        else:
            with drafts(rejects.parent, rejects.name, inputs=files) as [draft]:

                def set_aside(bad: Reject) -> None:
                    draft.write_line(
                        orjson.dumps(bad._asdict(), option=orjson.OPT_APPEND_NEWLINE)
                    )

                count = postgres.load(table, _rows(files, table, set_aside), mode=mode)
                bad_lines = draft.finish().lines
                publish(draft)
            say(f"{bad_lines:,} bad lines set aside in {rejects}")
    say(f"{count:,} rows loaded into {table}")


def _refuse(bad: Reject) -> None:
    raise FinetuneError(
        f"{bad}; nothing was loaded: mend the line, or set such lines aside with "
        "--rejects FILE"
    )


def _rows(
    files: Sequence[Path],
    table: RawTable,
    reject: Callable[[Reject], None],
) -> Iterator[Row]:
    for path in files:
        yield from read_rows(path, table.columns, reject)
