"""PostgreSQL: the snapshot of an export."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from exporter.engines.connection import connected, server_message, with_remedy
from exporter.engines.relations import Column, Kind, Relation, Row, column
from exporter.errors import FinetuneError

# At most this many rows are fetched at once, and at most this many bytes, except for
# one row that is larger.
_CHUNK_ROWS, _CHUNK_BYTES = 100, 1 << 25

# The kind of each type, and the SQL of its values; to_json writes numbers in full, and
# dates and times in ISO 8601 (PostgreSQL 18 documentation, "JSON Functions").
_TYPES = {
    **dict.fromkeys(("text", "varchar"), (Kind.TEXT, "{}")),
    **dict.fromkeys(("bpchar", "name", "uuid"), (Kind.TEXT, "{}::text")),
    **dict.fromkeys(("int2", "int4", "int8"), (Kind.INTEGER, "{}")),
    **dict.fromkeys(
        ("numeric", "float4", "float8", "bool"), (Kind.JSON, "to_json({})::text")
    ),
    **dict.fromkeys(
        ("date", "timestamp", "timestamptz"),
        (Kind.TEXT, "to_json({}) #>> array[]::text[]"),
    ),
    # Cast to jsonb, because the text of a json value may have several lines.
    **dict.fromkeys(("json", "jsonb"), (Kind.JSON, "{}::jsonb::text")),
}


class Snapshot:
    """A snapshot of the database in one read-only transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        cursor = self._connection.cursor(row_factory=dict_row)
        try:
            cursor.execute(statement.encode())
        except psycopg.Error as error:
            raise with_remedy(error) from error
        return cursor.fetchall()

    def metadata(self) -> dict[str, str]:
        """Return the snapshot, its time and the version of the server."""
        return self.query(
            "select pg_current_snapshot()::text as snapshot,"
            " to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
            " as snapshot_at, current_setting('server_version') as server_version"
        )[0]

    @staticmethod
    def quoted(*names: str) -> str:
        """Return a name of one or more parts, quoted for a query."""
        return sql.Identifier(*names).as_string()

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation, in their order."""
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
                _TYPES,
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
        # Timestamps with a time zone are written in UTC, whatever the server's is.
        self._connection.execute("set local timezone to 'UTC'")
        order = key.expression + ("" if key.kind is Kind.TEXT else "::text")
        query = (
            f"select {', '.join(column.expression for column in columns)}"
            f" from {self.quoted(*relation.path)}"
            f' order by {order} collate "C"'
        )
        # Chunks take half the time of single rows, with COPY or without (psycopg
        # 3.3); libpq supports them from version 17.
        size = 1
        if psycopg.capabilities.has_stream_chunked():
            size = _CHUNK_BYTES // self._longest_row(relation, columns)
            size = max(1, min(_CHUNK_ROWS, size))
        yield from self._connection.cursor().stream(
            query.encode(), binary=True, size=size
        )

    def _longest_row(self, relation: Relation, columns: Sequence[Column]) -> int:
        """Return the bytes of the longest row; the server stores the lengths.

        libpq needs the number of rows in a chunk before the query runs.
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
def open_snapshot(examples: Relation, reads: Sequence[Relation]) -> Iterator[Snapshot]:
    """Open a snapshot during which no relation in `reads` can be replaced.

    The relations are locked before the snapshot is taken. Without the lock, dbt could
    replace one after the snapshot: its name would then lead to the new table, which
    looks empty (PostgreSQL 15 and 18, November 2026). The locks do not block queries
    or changes of rows; changes of the relations wait until the snapshot ends.

    Raises:
        FinetuneError: There is no server, it is another database, or a relation is
            missing or may not be read.
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
            if reads:
                _lock(connection, reads)
        except (errors.UndefinedTable, errors.InvalidSchemaName) as error:
            raise FinetuneError(f"{server_message(error)}; run dbt build") from error
        yield Snapshot(connection)


# Waits until nothing blocks a read of the relations, of what their views read, and of
# their partitions. pg_relation_size() locks one of them at a time, until it returns.
_WAIT_QUERY = """
with recursive reads (relation) as (
    select unnest(%s::regclass[])::oid
    union
    select edges.below
    from reads
    inner join (
        select ev_class, refobjid
        from pg_rewrite
        inner join pg_depend on objid = pg_rewrite.oid
        where classid = 'pg_rewrite'::regclass and refclassid = 'pg_class'::regclass
        union all
        select inhparent, inhrelid from pg_inherits
    ) as edges (above, below) on edges.above = reads.relation
)
select pg_relation_size(relation) from reads
"""


def _lock(connection: psycopg.Connection, relations: Sequence[Relation]) -> None:
    """Lock the relations without ever waiting for one while another is locked.

    Otherwise a build that waits for a locked one would be in a deadlock with the
    export, and PostgreSQL might end the build. Nothing was read before a rollback, so
    it loses nothing.
    """
    names = [sql.Identifier(*relation.path) for relation in relations]
    lock = sql.SQL("lock table {} in access share mode nowait")
    while True:
        try:
            connection.execute(lock.format(sql.SQL(", ").join(names)))
        except errors.LockNotAvailable:
            connection.rollback()
            # `lock table` itself would wait with a view locked for what the view reads.
            connection.execute(_WAIT_QUERY, [[name.as_string() for name in names]])
            connection.rollback()
        else:
            return
