"""Sail, a Spark Connect server in one process, and sessions of it.

It proves the dialect; `make test-cluster` proves the distribution.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.spark_cluster import answers, free_ports, wait_for
from tests.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@contextmanager
def sail(
    parallelism: int, log: Path
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start a Spark Connect server; yield its address and its process."""
    [port] = free_ports(1)
    with log.open("wb") as output:
        program = Path(sys.executable).with_name("sail")
        process = subprocess.Popen(
            [program, "spark", "server", "--port", str(port)],
            env=os.environ | {"SAIL_EXECUTION__DEFAULT_PARALLELISM": str(parallelism)},
            cwd=log.parent,
            stdout=output,
            stderr=output,
        )
    try:
        wait_for("Sail", lambda: process.poll() is not None or answers(port), 30)
        assert process.poll() is None, log.read_text()
        yield f"sc://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def session_of(remote: str) -> Iterator["SparkSession"]:
    from pyspark.sql import SparkSession  # noqa: PLC0415  # It takes a second.

    session = SparkSession.builder.remote(remote).create()
    try:
        yield session
    finally:
        # Otherwise it retries for ten minutes when Python ends.
        session.client.close()


@contextmanager
def changed(workspace: Workspace, table: str, **columns: str) -> Iterator[None]:
    """Replace a table by one with other expressions of some columns, for the block."""
    with session_of(workspace.environment["SPARK_REMOTE"]) as session:
        names = session.table(table).columns
        select = ", ".join(f"{columns.get(name, name)} as {name}" for name in names)

        def replace(select: str) -> None:
            session.sql(f"drop table {table}")
            session.sql(f"create table {table} as select {select} from finetune.kept")

        session.sql(f"create table finetune.kept as select * from {table}")
        replace(select)
        try:
            yield
        finally:
            replace("*")
            session.sql("drop table finetune.kept")
