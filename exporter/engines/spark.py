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

from exporter.engines.relations import (
    PAIR_COLUMNS,
    Pair,
    Relation,
    in_backticks,
    require_columns,
)
from exporter.errors import FinetuneError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TYPES = {"text": "string", "int8": "bigint"}

# A pair as one text, the same in Spark and in Python; `first_uid` is the last,
# so that a null one, which concat_ws leaves out, differs from an empty one.
_PAIR_TEXT = "concat_ws(chr(31), {})".format(
    ", ".join(f"cast({column} as string)" for column in PAIR_COLUMNS)
)
_DIGITS = 15

_SLICE_ROWS = 25_000


class Digest(NamedTuple):
    """How many rows a relation has, and a sum over them that knows no order."""

    rows: int
    checksum: int

    def __str__(self) -> str:
        return f"{self.rows} rows, checksum {self.checksum:x}"


class Snapshot:
    """Relations that were looked at once, and must be the same at the end.

    Spark has no snapshot over several statements. So the pairs are counted and
    summed before the first test, and again, in Python, as they are handed out;
    whatever else the tests read is summed before and after.
    """

    def __init__(self, session: "SparkSession", relations: Sequence[Relation]) -> None:
        self._session = session
        self._opened_at = datetime.now(timezone.utc)
        self._pairs, *others = relations
        self._before = self._digest_of_pairs()
        self._others = {other: self._digest_of(other) for other in others}

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query written elsewhere, such as a dbt test.

        Raises:
            FinetuneError: The server refuses it.
        """
        with _one_line_errors():
            return [row.asDict() for row in self._session.sql(statement).collect()]

    def facts(self) -> dict[str, str]:
        """Return what names these rows: their checksum, time, server version."""
        return {
            "snapshot": str(self._before),
            "snapshot_at": self._opened_at.isoformat(),
            "server_version": str(self._session.version),
        }

    def pairs(self, relation: Relation) -> Generator[Pair]:
        """Yield the pairs in the order of their ids, in constant memory.

        Raises:
            FinetuneError: The server does not keep their order; or, after the
                last, they or what the tests read are not what they were before.
        """
        rows = checksum = 0
        last = ""
        for pair in self._stream(relation):
            # Sail 0.7 shuffles the batches of a sorted result (November 2026).
            if pair[0] < last:
                raise FinetuneError(
                    f"Spark: {pair[0]} came after {last}, so the server does not keep "
                    "the order of a query; for Sail see docs/spark.md"
                )
            last = pair[0]
            text = "\x1f".join(map(str, pair if pair[-1] is not None else pair[:-1]))
            digest = md5(text.encode(), usedforsecurity=False).hexdigest()
            checksum += int(digest[:_DIGITS], 16)
            rows += 1
            yield pair
        self._require_same(relation, self._before, Digest(rows, checksum))
        for other, before in self._others.items():
            self._require_same(other, before, self._digest_of(other))

    def _stream(self, relation: Relation) -> Iterator[Pair]:
        columns = ", ".join(PAIR_COLUMNS)
        for condition in _slices(self._before.rows):
            with _one_line_errors():
                frame = self._session.sql(
                    f"select {columns} from {relation.quoted()}"
                    f" where {condition} order by pair_id"
                )
                yield from frame.toLocalIterator(prefetchPartitions=True)

    def _require_same(self, relation: Relation, before: Digest, after: Digest) -> None:
        if before != after:
            raise FinetuneError(
                f"{relation} changed during the export: {before} before the tests, "
                f"{after} at the end; nothing was written, so export again when no "
                "build runs"
            )

    def _digest_of_pairs(self) -> Digest:
        number = f"conv(substr(md5({_PAIR_TEXT}), 1, {_DIGITS}), 16, 10)"
        return self._summed(self._pairs, number)

    def _digest_of(self, relation: Relation) -> Digest:
        with _one_line_errors():
            columns = self._session.table(relation.quoted()).columns
        names = ", ".join(map(in_backticks, columns))
        return self._summed(relation, f"xxhash64({names})")

    def _summed(self, relation: Relation, number: str) -> Digest:
        [found] = self.query(
            f"select count(*) as row_count,"
            f" coalesce(sum(cast({number} as decimal(20, 0))), 0) as checksum"
            f" from {relation.quoted()}"
        )
        return Digest(int(found["row_count"]), int(found["checksum"]))


def _slices(rows: int) -> Iterator[str]:
    """Yield conditions that part the ids, in their order, into small slices.

    The Connect server's driver holds a sorted result whole, and refuses one of
    over spark.driver.maxResultSize, 1 GiB (Spark 4.3, November 2026).
    """
    count = max(1, rows // _SLICE_ROWS)
    bounds = [f"{n * 16**8 // count:08x}" for n in range(1, count)]
    for lower, upper in zip(["", *bounds], [*bounds, ""], strict=True):
        yield f"pair_id >= '{lower}'" + (f" and pair_id < '{upper}'" if upper else "")


@contextmanager
def snapshot(relations: Sequence[Relation]) -> Iterator[Snapshot]:
    """Look at the relations, the first of which holds the pairs.

    Raises:
        FinetuneError: No pyspark, no server, or a relation that is missing, may
            not be read or has other columns.
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
            found = dict(session.table(relations[0].quoted()).dtypes)
            wanted = {name: _TYPES[kind] for name, kind in PAIR_COLUMNS.items()}
            require_columns(relations[0], found, wanted)
            moment = Snapshot(session, relations)
        yield moment
    finally:
        # Not stopped: a session that SPARK_REMOTE names has other users.
        session.client.close()


def _remote() -> str:
    """Return where Spark Connect is, as dbt's profile has it."""
    return os.environ.get("SPARK_REMOTE") or "sc://127.0.0.1:15002"


def require_server() -> None:
    """Knock at the port; the client itself would try for ten minutes.

    Raises:
        FinetuneError: Nobody answers.
    """
    address = _remote()
    parts = urlsplit(address)
    if parts.scheme != "sc" or not parts.hostname:
        raise FinetuneError(f"SPARK_REMOTE is {address}, but must be sc://HOST:PORT")
    port = parts.port or 15002
    try:
        socket.create_connection((parts.hostname, port), timeout=10).close()
    except OSError as error:
        raise FinetuneError(
            f"Spark Connect: {parts.hostname}:{port}: {error.strerror or error}; "
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
