"""The raw table on PostgreSQL: made if it is missing, and filled by COPY."""

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
from exporter.signals import stops_wait

if TYPE_CHECKING:
    from exporter.records import Block, CopyFormat


def exists(table: RawTable) -> bool:
    """Return whether there is a relation of that name."""
    with connected() as connection:
        return _kind(connection, table) is not None


def _kind(connection: psycopg.Connection, table: RawTable) -> str | None:
    """Return what pg_class calls a relation, "r" for a plain table."""
    found = connection.execute(
        "select relkind::text from pg_class"
        " join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = %s and relname = %s",
        [table.schema, table.name],
    ).fetchone()
    return str(found[0]) if found else None


def load(
    table: RawTable,
    blocks: "Iterator[Block]",
    *,
    mode: str | None,
    loaded: Callable[[int], None] = lambda _: None,
) -> int:
    """Copy rows of (id, title, content) into the raw table; return how many.

    One transaction, begun when the first of them is there: the table is made when
    it is missing, and after an error it is as it was. `mode` says what to do with
    rows that are there: "replace", "append", or None to refuse. `loaded` gets the
    count as soon as the rows stand.

    Raises:
        FinetuneError: The server refuses, a column is missing or takes no such
            value, there are rows and no mode, or there is nothing to load.
    """
    first = next(blocks, None)
    if first is None:
        raise FinetuneError("found no row; nothing was changed")
    name = sql.Identifier(table.schema, table.name)
    with connected() as connection:
        freeze = _made_ready(connection, table, first[0].columns, mode)
        count = 0
        for copy_format, same in groupby(chain([first], blocks), itemgetter(0)):
            cursor = connection.cursor()
            with cursor.copy(_copy(name, copy_format, freeze=freeze)) as copy:
                for _, block in same:
                    copy.write(block)
            count += cursor.rowcount
        # Fresh statistics, so that the first build is planned for these rows.
        connection.execute(sql.SQL("analyze {}").format(name))
        with stops_wait():
            commit(connection)
            loaded(count)
    return count


def _made_ready(
    connection: psycopg.Connection,
    table: RawTable,
    columns: Sequence[str],
    mode: str | None,
) -> bool:
    """Make the table, or see that it takes the rows; return whether to freeze them.

    Frozen rows are read without being written again (the first scan of a million
    wrote 133 MB of log). Nobody else can see the table before the commit; a snapshot
    from before would see it empty otherwise, no better.
    """
    name, kind = sql.Identifier(table.schema, table.name), _kind(connection, table)
    if kind is None:
        schema, *names = map(sql.Identifier, (table.schema, *table.columns))
        connection.execute(sql.SQL("create schema if not exists {}").format(schema))
        made = sql.SQL("create table {} ({} text, {} text, {} text)")
        connection.execute(made.format(name, *names))
        return True
    look = sql.SQL("select * from {} limit {}").format(name, int(mode is None))
    cursor = connection.execute(look)
    found = [entry.name for entry in cursor.description or ()]
    for wanted in columns:
        if wanted not in found:
            raise FinetuneError(
                f"{table} has no column {wanted}; it has {', '.join(found)}: rename "
                "the file's columns, or load into another --table"
            )
    if mode == "replace":
        with waiting(f"{table} until nobody reads it"):
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
