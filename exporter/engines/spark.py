"""Spark: the session, and a snapshot that detects changes, because it cannot lock."""

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

# The kind of each type, and the SQL that writes its values as PostgreSQL does.
_TYPES = {
    "string": (Kind.TEXT, "{}"),
    **dict.fromkeys(
        ("tinyint", "smallint", "int", "bigint"), (Kind.INTEGER, "cast({} as bigint)")
    ),
    **dict.fromkeys(("decimal", "boolean"), (Kind.JSON, "cast({} as string)")),
    "date": (Kind.TEXT, "cast({} as string)"),
    "timestamp_ntz": (Kind.TEXT, "replace(cast({} as string), ' ', 'T')"),
}

# Hexadecimal digits of the md5 of a row that are summed.
_DIGITS = 15

# The driver and the client each hold a part twice. For a sorted result of 256 MB, the
# default heap of 1 GiB is too small: Spark 4.3 never answers (November 2026).
_PART_BYTES = 20_000_000

# Rows in one Arrow batch; as Python objects they take more memory.
_BATCH_ROWS = 1_000


class Digest(NamedTuple):
    """The number of rows of a relation, and a checksum that ignores their order."""

    rows: int
    checksum: int

    def __str__(self) -> str:
        return f"{self.rows} rows, checksum {self.checksum:x}"


class Snapshot:
    """Relations whose digests are compared before and after they are read.

    Spark has no snapshot over several statements. So Spark computes a digest of the
    examples before the first test, and Python computes it again from the rows that it
    yields. Spark computes the digests of the other relations before and after.
    """

    def __init__(
        self, session: "SparkSession", examples: Relation, reads: Sequence[Relation]
    ) -> None:
        self._session = session
        self._opened_at = datetime.now(timezone.utc)
        self._examples = examples
        self._before, self._bytes = self._digest_of_examples()
        self._others = {
            other: self._digest_of(other) for other in reads if other != examples
        }

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""
        with _one_line_errors():
            return [row.asDict() for row in self._session.sql(statement).collect()]

    def metadata(self) -> dict[str, str]:
        """Return the digest of the examples, its time and the version of the server."""
        return {
            "snapshot": str(self._before),
            "snapshot_at": self._opened_at.isoformat(),
            "server_version": str(self._session.version),
        }

    @staticmethod
    def quoted(*names: str) -> str:
        """Return a name of one or more parts, quoted for a query."""
        return ".".join("`{}`".format(name.replace("`", "``")) for name in names)

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation, in their order."""
        with _one_line_errors("; run dbt build"):
            found = self._session.table(self.quoted(*relation.path)).dtypes
        return [
            column(relation, name, self.quoted(name), type_.partition("(")[0], _TYPES)
            for name, type_ in found
        ]

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        """Yield the examples in the order of a key's code points, in constant memory.

        Raises:
            FinetuneError: After the last row, a digest differs from the one before.
        """
        rows = checksum = 0
        for row in self._stream(relation, columns, key):
            yield row
            text = "\x1f".join("\x1e" if value is None else str(value) for value in row)
            digest = md5(text.encode(), usedforsecurity=False).hexdigest()
            checksum += int(digest[:_DIGITS], 16)
            rows += 1
        _require_unchanged(relation, self._before, Digest(rows, checksum))
        for other, before in self._others.items():
            _require_unchanged(other, before, self._digest_of(other))

    def _stream(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Iterator[Row]:
        """Yield the rows in order; read each part while the one before is written."""
        names = ", ".join(f"c{place}" for place in range(len(columns)))

        def fetch(part: str) -> "pyarrow.Table":
            with _one_line_errors():
                # One task sorts a part, because it is small.
                return self._session.sql(
                    f"select {names} from (select /*+ coalesce(1) */ * from {part})"
                    " order by k"
                ).toArrow()

        with self._parts(relation, columns, key) as parts:
            for table in _prefetched(fetch, parts):
                for batch in table.to_batches():
                    cells = [column.to_pylist() for column in batch.columns]
                    yield from zip(*cells, strict=True)

    @contextmanager
    def _parts(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Iterator[list[str]]:
        """Yield the parts to select from: ranges of the key, in its order.

        If the rows do not fit into one part, the executors write them to a table that
        is partitioned by part. So each row is read and sorted only twice, and the
        query of a part opens no file of another part.
        """
        chosen = [f"{column.expression} as c{n}" for n, column in enumerate(columns)]
        chosen.append(f"cast({key.expression} as string) as k")
        rows = f"(select {', '.join(chosen)} from {self.quoted(*relation.path)})"
        count = -(-self._bytes // _PART_BYTES)
        if count < 2:
            yield [rows]
            return
        # A killed export does not drop the table; the next export does.
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

    def _digest_of_examples(self) -> tuple[Digest, int]:
        """Return the digest of the examples, and the bytes of their text."""
        # All values as one text, the same that `rows` builds in Python.
        values = ", ".join(
            f"coalesce(cast({column.expression} as string), chr(30))"
            for column in self.columns(self._examples)
        )
        text = f"concat_ws(chr(31), {values})"
        checksum = f"conv(substr(md5({text}), 1, {_DIGITS}), 16, 10)"
        return self._sums(self._examples, checksum, f"sum(octet_length({text}))")

    def _digest_of(self, relation: Relation) -> Digest:
        with _one_line_errors():
            columns = self._session.table(self.quoted(*relation.path)).columns
        checksum = f"xxhash64({', '.join(map(self.quoted, columns))})"
        return self._sums(relation, checksum, "0")[0]

    def _sums(self, relation: Relation, checksum: str, size: str) -> tuple[Digest, int]:
        """Return the number of rows with the sum of a checksum, and the size."""
        [found] = self.query(
            f"select count(*) as row_count,"
            f" coalesce(sum(cast({checksum} as decimal(20, 0))), 0) as checksum,"
            f" coalesce({size}, 0) as size"
            f" from {self.quoted(*relation.path)}"
        )
        digest = Digest(int(found["row_count"]), int(found["checksum"]))
        return digest, int(found["size"])


def _require_unchanged(relation: Relation, before: Digest, after: Digest) -> None:
    if before != after:
        raise FinetuneError(
            f"{relation} changed during the export: {before} before the tests, "
            f"{after} at the end; nothing was written, so export again when no "
            "build runs"
        )


def _prefetched(
    fetch: Callable[[str], "pyarrow.Table"], parts: Sequence[str]
) -> Iterator["pyarrow.Table"]:
    """Yield each part; fetch the next one while the caller uses it."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(fetch, parts[0])
        for part in parts[1:]:
            table = following.result()
            following = pool.submit(fetch, part)
            yield table
        yield following.result()


@contextmanager
def open_snapshot(examples: Relation, reads: Sequence[Relation]) -> Iterator[Snapshot]:
    """Open a snapshot of the examples, and of the other relations in `reads`.

    Raises:
        FinetuneError: pyspark is not installed, there is no server, or a relation is
            missing or may not be read.
    """
    session = _connected()
    try:
        with _one_line_errors("; run dbt build"):
            snapshot = Snapshot(session, examples, reads)
        yield snapshot
    finally:
        # Closed, not stopped: the session in SPARK_REMOTE may have other users.
        session.client.close()


def _connected() -> "SparkSession":
    """Return a session whose calls fail if the server stops answering."""
    try:
        connect = import_module("pyspark.sql.connect.session")
    except ImportError as error:
        raise FinetuneError(
            f"--target spark: {error}; pip install 'finetune-exporter[spark]'"
        ) from error
    # This logger prints the query and the server's stack trace of each error.
    logger = import_module("pyspark.logger").PySparkLogger
    logger.getLogger("SQLQueryContextLogger").disabled = True
    with _one_line_errors():
        channel = connect.DefaultChannelBuilder(_remote())
        timeout = import_module("exporter.engines.idle_timeout")
        channel.add_interceptor(timeout.IdleTimeout())
        builder = connect.SparkSession.builder.channelBuilder(channel)
        session: SparkSession = builder.create()
        session.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", _BATCH_ROWS)
    return session


def _remote() -> str:
    """Return the address of the Spark Connect server, as dbt's profile has it."""
    return os.environ.get("SPARK_REMOTE") or "sc://127.0.0.1:15002"


def require_server() -> None:
    """Refuse a server whose port does not answer; its client retries for ten minutes.

    Raises:
        FinetuneError: SPARK_REMOTE is wrong, or the port does not answer.
    """
    try:
        parts = urlsplit(_remote())
        host, port = parts.hostname, parts.port or 15002
    except ValueError:
        parts, host, port = urlsplit(""), None, 0
    if parts.scheme != "sc" or not host:
        # The value is not shown, because it may have a token in it.
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
    """Raise Spark's errors as a FinetuneError of one line."""
    try:
        yield
    except import_module("pyspark.errors").PySparkException as error:
        lines = str(error).strip().splitlines()
        raise FinetuneError(f"Spark: {lines[0][:300]}{hint}") from error
