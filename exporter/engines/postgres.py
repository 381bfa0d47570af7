"""PostgreSQL: the snapshot of an export."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from exporter.engines.connection import connected, explained, primary
from exporter.engines.relations import Column, Kind, Relation, Row, column
from exporter.errors import FinetuneError

# How many rows are fetched at once, and how many bytes of them at most, unless one
# row alone has more.
_CHUNK_ROWS, _CHUNK_BYTES = 100, 1 << 25

# How values of each type are written; to_json has numbers as they are, and dates
# and times in ISO 8601 (PostgreSQL 18 documentation, "JSON Functions").
_FORMS = {
    **dict.fromkeys(("text", "varchar"), (Kind.TEXT, "{}")),
    **dict.fromkeys(("bpchar", "name", "uuid"), (Kind.TEXT, "{}::text")),
    **dict.fromkeys(("int2", "int4", "int8"), (Kind.WHOLE, "{}")),
    **dict.fromkeys(
        ("numeric", "float4", "float8", "bool"), (Kind.JSON, "to_json({})::text")
    ),
    **dict.fromkeys(
        ("date", "timestamp", "timestamptz"),
        (Kind.TEXT, "to_json({}) #>> array[]::text[]"),
    ),
    # Through jsonb, because the text of a json value may span several lines.
    **dict.fromkeys(("json", "jsonb"), (Kind.JSON, "{}::jsonb::text")),
}


class Snapshot:
    """One moment of the database, read in one read-only transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        cursor = self._connection.cursor(row_factory=dict_row)
        try:
            cursor.execute(statement.encode())
        except psycopg.Error as error:
            raise explained(error) from error
        return cursor.fetchall()

    def facts(self) -> dict[str, str]:
        """Return what names this moment: snapshot, time, server version."""
        return self.query(
            "select pg_current_snapshot()::text as snapshot,"
            " to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
            " as snapshot_at, current_setting('server_version') as server_version"
        )[0]

    @staticmethod
    def quoted(*names: str) -> str:
        """Return a name of one or more parts as it stands in a query."""
        return sql.Identifier(*names).as_string()

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation in their order."""
        cursor = self._connection.execute(
            sql.SQL("select * from {} limit 0").format(
                sql.Identifier(relation.schema, relation.name)
            )
        )
        return [
            column(
                relation,
                found.name,
                self.quoted(found.name),
                self._type(found.type_code),
                _FORMS,
            )
            for found in cursor.description or ()
        ]

    def _type(self, code: int) -> str:
        known = psycopg.adapters.types.get(code)
        if known:
            return known.name
        [found] = self.query(f"select {code}::regtype::text as name")
        return str(found["name"])

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        """Yield the rows in the order of a key's code points.

        Memory is bounded by `_CHUNK_BYTES` and the largest row.
        """
        # Timestamps with a zone are written in UTC, wherever the server is.
        self._connection.execute("set local timezone to 'UTC'")
        order = key.expression + ("" if key.kind is Kind.TEXT else "::text")
        query = (
            f"select {', '.join(column.expression for column in columns)}"
            f" from {self.quoted(*relation.path)}"
            f' order by {order} collate "C"'
        )
        # Chunks of rows cost half the time of row after row, by COPY or not
        # (psycopg 3.3); libpq has them from version 17.
        size = 1
        if psycopg.capabilities.has_stream_chunked():
            fitting = _CHUNK_BYTES // self._widest(relation, columns)
            size = max(1, min(_CHUNK_ROWS, fitting))
        yield from self._connection.cursor().stream(
            query.encode(), binary=True, size=size
        )

    def _widest(self, relation: Relation, columns: Sequence[Column]) -> int:
        """Return the bytes of the longest row; the server keeps the lengths.

        Asked before, as libpq takes the number of rows in a chunk once.
        """
        lengths = [
            f"coalesce(octet_length({column.expression}), 0)"
            for column in columns
            if column.kind is Kind.TEXT or "jsonb" in column.expression
        ]
        [found] = self.query(
            f"select max({' + '.join([*lengths, '1'])}) as bytes"
            f" from {self.quoted(*relation.path)}"
        )
        return int(found["bytes"] or 1)


@contextmanager
def snapshot(examples: Relation, read: Sequence[Relation]) -> Iterator[Snapshot]:
    """Open a snapshot in which none of the relations that are read can be replaced.

    The locks come before the snapshot: a relation that dbt puts in place after
    the snapshot would be found by name and look empty (PostgreSQL 15 and 18,
    November 2026). Readers and writers of rows are not held up; only a change
    of the relations themselves waits until the snapshot ends.

    Raises:
        FinetuneError: No server, another database, or a relation that is missing or
            may not be read.
    """
    with connected() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        wanted = examples.database
        if connection.info.dbname != wanted:
            raise FinetuneError(
                f"connected to database {connection.info.dbname}, but dbt built in "
                f"{wanted}; set PGDATABASE={wanted} or run dbt build again"
            )
        try:
            if read:
                _lock(connection, read)
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise FinetuneError(f"{primary(error)}; run dbt build") from error
        yield Snapshot(connection)


def _lock(connection: psycopg.Connection, read: Sequence[Relation]) -> None:
    """Lock the relations; once more where a build took them the other way round.

    Nothing is read yet, so that nothing is lost with the transaction.
    """
    statement = sql.SQL("lock table {} in access share mode").format(
        sql.SQL(", ").join(sql.Identifier(*relation.path) for relation in read)
    )
    for _ in range(3):
        try:
            connection.execute(statement)
        except errors.DeadlockDetected:
            connection.rollback()
        else:
            return
    connection.execute(statement)
