"""Spark: the session, and an export that proves what it cannot lock."""

import os
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import md5
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from exporter.engines.relations import Column, Kind, Relation, Row, column
from exporter.errors import FinetuneError

if TYPE_CHECKING:
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

# What the Connect server's driver holds at once: a sorted result whole. It refuses
# one of over spark.driver.maxResultSize, 1 GiB, and of 256 MB one with the default
# 1 GiB of heap runs out of it and never answers (Spark 4.3, November 2026).
_SLICE_BYTES = 64_000_000

# Keys to choose the bounds of a slice from: slices differ by a tenth.
_KEYS_A_SLICE = 100


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
        """Yield the rows slice by slice, each a sorted query.

        The pairs are stored in the order of their ids, so that of most files a
        slice reads no more than the footer.
        """
        expressions = ", ".join(column.expression for column in columns)
        order = f"cast({key.expression} as string)"
        for condition in _between(order, self._bounds(relation, order)):
            with _one_line_errors():
                frame = self._session.sql(
                    f"select {expressions} from {self.quoted(*relation.path)}"
                    f" where {condition} order by {order}"
                )
                yield from frame.toLocalIterator(prefetchPartitions=True)

    def _bounds(self, relation: Relation, key: str) -> list[str]:
        """Return keys that part the rows into slices that a driver can hold.

        They are chosen among keys drawn by their hash, in one scan of that column.
        """
        slices = -(-self._bytes // _SLICE_BYTES)
        if slices < 2:
            return []
        share = min(1, slices * _KEYS_A_SLICE / self._before.rows)
        drawn = self.query(
            f"select {key} as drawn from {self.quoted(*relation.path)}"
            f" where left(md5({key}), 8) <= '{int(share * (16**8 - 1)):08x}'"
        )
        keys = sorted(str(row["drawn"]) for row in drawn)
        return [keys[n * len(keys) // slices] for n in range(1, slices)] if keys else []

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


def _between(key: str, bounds: Sequence[str]) -> Iterator[str]:
    """Yield conditions that part a key, in its order, at the bounds."""
    quoted = ["'" + b.replace("\\", "\\\\").replace("'", "\\'") + "'" for b in bounds]
    for lower, upper in zip([None, *quoted], [*quoted, None], strict=True):
        ends = [f"{key} >= {lower}"] if lower else []
        ends += [f"{key} < {upper}"] if upper else []
        yield " and ".join(ends) or "true"


@contextmanager
def snapshot(examples: Relation, read: Sequence[Relation]) -> Iterator[Snapshot]:
    """Look at the examples, and at whatever else the tests read.

    Raises:
        FinetuneError: No pyspark, no server, or a relation that is missing or may
            not be read.
    """
    try:
        sql = import_module("pyspark.sql")
    except ImportError as error:
        raise FinetuneError(
            f"--target spark: {error}; pip install 'finetune-exporter[spark]'"
        ) from error
    with _one_line_errors():
        session = sql.SparkSession.builder.remote(_remote()).create()
    try:
        with _one_line_errors("; run dbt build"):
            moment = Snapshot(session, examples, read)
        yield moment
    finally:
        # Not stopped: a session that SPARK_REMOTE names has other users.
        session.client.close()


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
