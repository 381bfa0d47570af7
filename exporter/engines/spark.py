"""Spark: the session, and an export that proves what it cannot lock."""

import os
import socket
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import md5
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from exporter.engines.relations import Column, Kind, Relation, Row, column
from exporter.errors import FinetuneError

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import SparkSession

# How values of each type are written, as PostgreSQL writes them.
_FORMS = {
    "string": (Kind.TEXT, "{}"),
    **dict.fromkeys(
        ("tinyint", "smallint", "int", "bigint"), (Kind.WHOLE, "cast({} as bigint)")
    ),
    **dict.fromkeys(("decimal", "boolean"), (Kind.JSON, "cast({} as string)")),
    "date": (Kind.TEXT, "cast({} as string)"),
    "timestamp_ntz": (Kind.TEXT, "replace(cast({} as string), ' ', 'T')"),
}
_DIGITS = 15

# What the driver and the client hold, twice. Of a sorted result of 256 MB a driver with
# the default 1 GiB of heap runs out of it and never answers (Spark 4.3, November 2026).
_PART_BYTES = 20_000_000

# Rows that Spark sends at once; while they are taken apart, they take more memory.
_BATCH_ROWS = 1_000


class Digest(NamedTuple):
    """How many rows a relation has, and a sum over them that knows no order."""

    rows: int
    checksum: int

    def __str__(self) -> str:
        return f"{self.rows} rows, checksum {self.checksum:x}"


class Snapshot:
    """Relations that were looked at once, and must be the same at the end.

    Spark has no snapshot over several statements. So the examples are counted and
    summed before the first test, and again, in Python, as they are handed out;
    whatever else the tests read is summed before and after.
    """

    def __init__(
        self, session: "SparkSession", examples: Relation, read: Sequence[Relation]
    ) -> None:
        self._session = session
        self._opened_at = datetime.now(timezone.utc)
        self._examples = examples
        self._before, self._bytes = self._digest_of_rows(self.columns(examples))
        self._others = {
            other: self._digest_of(other) for other in read if other != examples
        }

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        with _one_line_errors():
            return [row.asDict() for row in self._session.sql(statement).collect()]

    def facts(self) -> dict[str, str]:
        """Return what names these rows: their checksum, time, server version."""
        return {
            "snapshot": str(self._before),
            "snapshot_at": self._opened_at.isoformat(),
            "server_version": str(self._session.version),
        }

    @staticmethod
    def quoted(*names: str) -> str:
        """Return a name of one or more parts as it stands in a query."""
        return ".".join("`{}`".format(name.replace("`", "``")) for name in names)

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation in their order."""
        with _one_line_errors("; run dbt build"):
            found = self._session.table(self.quoted(*relation.path)).dtypes
        return [
            column(relation, name, self.quoted(name), type_.partition("(")[0], _FORMS)
            for name, type_ in found
        ]

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        """Yield the examples in the order of a key's code points.

        Memory is constant.

        Raises:
            FinetuneError: After the last, they or what the tests read are not what
                they were before.
        """
        rows = checksum = 0
        for row in self._stream(relation, columns, key):
            yield row
            text = "\x1f".join("\x1e" if value is None else str(value) for value in row)
            digest = md5(text.encode(), usedforsecurity=False).hexdigest()
            checksum += int(digest[:_DIGITS], 16)
            rows += 1
        self._require_same(relation, self._before, Digest(rows, checksum))
        for other, before in self._others.items():
            self._require_same(other, before, self._digest_of(other))

    def _stream(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Iterator[Row]:
        """Yield the rows in order: one part is written while the next is read."""
        names = ", ".join(f"c{place}" for place in range(len(columns)))

        def fetched(part: str) -> "pyarrow.Table":
            with _one_line_errors():
                # In one task, because a part is small.
                return self._session.sql(
                    f"select {names} from (select /*+ coalesce(1) */ * from {part})"
                    " order by k"
                ).toArrow()

        with self._parts(relation, columns, key) as parts:
            for table in _ahead(fetched, parts):
                for batch in table.to_batches():
                    cells = [column.to_pylist() for column in batch.columns]
                    yield from zip(*cells, strict=True)

    @contextmanager
    def _parts(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Iterator[list[str]]:
        """Yield what to select from, each a range of the key, in its order.

        Of more rows than one part may have, the executors write a table of parts.
        So however many there are, each is read and sorted twice, and who reads a
        part opens no file of another.
        """
        chosen = [f"{column.expression} as c{n}" for n, column in enumerate(columns)]
        chosen.append(f"cast({key.expression} as string) as k")
        rows = f"(select {', '.join(chosen)} from {self.quoted(*relation.path)})"
        count = -(-self._bytes // _PART_BYTES)
        if count < 2:
            yield [rows]
            return
        # A killed export leaves it behind, and the next one replaces it.
        table = self.quoted(relation.schema, f"{relation.name}__finetune_parts")
        self._run(f"drop table if exists {table}")
        try:
            self._run(
                f"create table {table} partitioned by (part) as"
                " select *, spark_partition_id() as part from"
                f" (select /*+ repartition_by_range({count}, k) */ * from {rows})"
            )
            yield [f"{table} where part = {part}" for part in range(count)]
        finally:
            self._run(f"drop table if exists {table}")

    def _run(self, command: str) -> None:
        with _one_line_errors():
            self._session.sql(command)

    def _require_same(self, relation: Relation, before: Digest, after: Digest) -> None:
        if before != after:
            raise FinetuneError(
                f"{relation} changed during the export: {before} before the tests, "
                f"{after} at the end; nothing was written, so export again when no "
                "build runs"
            )

    def _digest_of_rows(self, columns: Sequence[Column]) -> tuple[Digest, int]:
        """Return the digest of the examples, and how many bytes their texts have."""
        # The values as one text, the same in Spark and in Python.
        values = ", ".join(
            f"coalesce(cast({column.expression} as string), chr(30))"
            for column in columns
        )
        text = f"concat_ws(chr(31), {values})"
        number = f"conv(substr(md5({text}), 1, {_DIGITS}), 16, 10)"
        return self._summed(self._examples, number, f"sum(octet_length({text}))")

    def _digest_of(self, relation: Relation) -> Digest:
        with _one_line_errors():
            columns = self._session.table(self.quoted(*relation.path)).columns
        number = f"xxhash64({', '.join(map(self.quoted, columns))})"
        return self._summed(relation, number, "0")[0]

    def _summed(self, relation: Relation, number: str, size: str) -> tuple[Digest, int]:
        [found] = self.query(
            f"select count(*) as row_count,"
            f" coalesce(sum(cast({number} as decimal(20, 0))), 0) as checksum,"
            f" coalesce({size}, 0) as size"
            f" from {self.quoted(*relation.path)}"
        )
        digest = Digest(int(found["row_count"]), int(found["checksum"]))
        return digest, int(found["size"])


def _ahead(
    make: Callable[[str], "pyarrow.Table"], parts: Sequence[str]
) -> Iterator["pyarrow.Table"]:
    """Yield what is made of each part, the next while this one is used."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(make, parts[0])
        for part in parts[1:]:
            made = following.result()
            following = pool.submit(make, part)
            yield made
        yield following.result()


@contextmanager
def snapshot(examples: Relation, read: Sequence[Relation]) -> Iterator[Snapshot]:
    """Look at the examples, and at whatever else the tests read.

    Raises:
        FinetuneError: No pyspark, no server, or a relation that is missing or may
            not be read.
    """
    session = _connected()
    try:
        with _one_line_errors("; run dbt build"):
            moment = Snapshot(session, examples, read)
        yield moment
    finally:
        # Not stopped: a session that SPARK_REMOTE names has other users.
        session.client.close()


def _connected() -> "SparkSession":
    """Return a session that ends by itself when the server falls silent."""
    try:
        connect = import_module("pyspark.sql.connect.session")
    except ImportError as error:
        raise FinetuneError(
            f"--target spark: {error}; pip install 'finetune-exporter[spark]'"
        ) from error
    # Else it logs each error with its query and the stack of the server.
    logger = import_module("pyspark.logger").PySparkLogger
    logger.getLogger("SQLQueryContextLogger").disabled = True
    with _one_line_errors():
        channel = connect.DefaultChannelBuilder(_remote())
        channel.add_interceptor(import_module("exporter.engines.silence").Limit())
        builder = connect.SparkSession.builder.channelBuilder(channel)
        session: SparkSession = builder.create()
        session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _BATCH_ROWS)
    return session


def _remote() -> str:
    """Return where Spark Connect is, as dbt's profile has it."""
    return os.environ.get("SPARK_REMOTE") or "sc://127.0.0.1:15002"


def require_server() -> None:
    """Connect to the port, because the client itself would try for ten minutes.

    Raises:
        FinetuneError: Nobody answers.
    """
    try:
        parts = urlsplit(_remote())
        host, port = parts.hostname, parts.port or 15002
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "sc" or not host:
        # It is not shown, as it may hold a token.
        raise FinetuneError(
            "SPARK_REMOTE is not an address such as sc://HOST:PORT; fix or unset it"
        )
    try:
        socket.create_connection((host, port), timeout=10).close()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FinetuneError(
            f"Spark Connect: {host}:{port}: {reason}; "
            "start a server there or set SPARK_REMOTE"
        ) from error


@contextmanager
def _one_line_errors(hint: str = "") -> Iterator[None]:
    """Turn what Spark says into one line."""
    try:
        yield
    except import_module("pyspark.errors").PySparkException as error:
        lines = str(error).strip().splitlines()
        raise FinetuneError(f"Spark: {lines[0][:300]}{hint}") from error
