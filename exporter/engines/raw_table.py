"""The raw table on PostgreSQL: create it if it is missing, and fill it by COPY."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from exporter.engines.connection import commit, connected
from exporter.engines.relations import RawTable
from exporter.errors import FinetuneError
from exporter.progress import waiting
from exporter.signals import defer_stops

if TYPE_CHECKING:
    from exporter.records import Block, CopyFormat


def columns(table: RawTable) -> list[str]:
    """Return the columns of the relation in their order; none if it is missing."""
    with connected() as connection:
        return _describe(connection, table)[1]


def _describe(
    connection: psycopg.Connection, table: RawTable
) -> tuple[str | None, list[str]]:
    """Return the `relkind` of a relation, "r" for a table, and its columns.

    If it is missing, they are None and empty.
    """
    found = connection.execute(
        "select relkind::text, array("
        " select attname::text from pg_attribute"
        " where attrelid = pg_class.oid and attnum > 0 and not attisdropped"
        " order by attnum)"
        " from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = %s and relname = %s",
        [table.schema, table.name],
    ).fetchone()
    return found or (None, [])


def load(
    table: RawTable,
    blocks: "Iterator[Block]",
    *,
    mode: str | None,
    on_commit: Callable[[int], None] = lambda _: None,
) -> int:
    """Copy rows of (id, title, content) into the raw table; return their number.

    One transaction, which begins after the first block is read: it creates the table
    if it is missing; an error leaves the table as it was. `mode` is what happens to old
    rows: "replace", "append", or None to refuse them. `on_commit` is called with the
    number of rows.

    Raises:
        FinetuneError: The server reports an error, a column is missing or of another
            type, there are old rows and no mode, or there is nothing to load.
    """
    first = next(blocks, None)
    if first is None:
        raise FinetuneError("found no row; nothing was changed")
    name = sql.Identifier(table.schema, table.name)
    with connected() as connection:
        freeze = _prepare(connection, table, first[0].columns, mode)
        count = 0
        for copy_format, same in groupby(chain([first], blocks), itemgetter(0)):
            cursor = connection.cursor()
            with cursor.copy(_copy(name, copy_format, freeze=freeze)) as copy:
                for _, block in same:
                    copy.write(block)
            count += cursor.rowcount
        # A trigger may have stored the rows in a child of the table.
        first_row = sql.SQL("select from {} limit 1").format(name)
        if not count and not connection.execute(first_row).rowcount:
            raise FinetuneError(
                f"{table} took none of the rows; nothing was changed: look for a "
                "trigger of the table that drops them"
            )
        # The planner of the first build needs statistics of these rows.
        connection.execute(sql.SQL("analyze {}").format(name))
        with defer_stops():
            commit(connection)
            on_commit(count)
    return count


def _prepare(
    connection: psycopg.Connection,
    table: RawTable,
    columns: Sequence[str],
    mode: str | None,
) -> bool:
    """Create the table, or check that it accepts the rows; return whether to freeze.

    The first scan of frozen rows does not write them again (133 MB of log for a million
    rows). Older snapshots see frozen rows too early, but they would see an empty table
    otherwise, which is no better.
    """
    name = sql.Identifier(table.schema, table.name)
    kind, found = _describe(connection, table)
    if kind is None:
        schema, *names = map(sql.Identifier, (table.schema, *table.columns))
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        create = sql.SQL("create table {} ({} text, {} text, {} text)")
        connection.execute(create.format(name, *names))
        return True
    query = sql.SQL("select * from {} limit {}").format(name, int(mode is None))
    cursor = connection.execute(query)
    for wanted in columns:
        if wanted not in found:
            raise FinetuneError(
                f"{table} has no column {wanted}; it has {', '.join(found)}: rename "
                "the file's columns, or load into a new table with --table NAME"
            )
    if mode == "replace":
        with waiting(f"the queries that read {table}"):
            connection.execute(sql.SQL("truncate {}").format(name))
    elif cursor.rowcount:
        raise FinetuneError(f"{table} has rows already; add --replace or --append")
    return kind == "r" and mode == "replace"


def _copy(
    name: sql.Identifier, copy_format: "CopyFormat", *, freeze: bool
) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, copy_format.columns))
    options = sql.SQL("freeze {}").format(freeze)
    if copy_format.separator:
        options += sql.SQL(", format csv, delimiter {}, force_null ({})").format(
            copy_format.separator, columns
        )
    return sql.SQL("copy {} ({}) from stdin ({})").format(name, columns, options)
