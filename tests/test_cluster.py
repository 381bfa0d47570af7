"""A million rows on a real Spark cluster: PostgreSQL's bytes, with a worker killed.

`make test-cluster` makes .venv-cluster and runs it; the figures go to stderr.
"""

import filecmp
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from exporter.engines import spark
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from tests.spark_cluster import Cluster, running
from tests.workspace import (
    DBT,
    REPOSITORY,
    MakeWorkspace,
    Workspace,
    open_folder,
    project_in,
)

pytestmark = pytest.mark.cluster

ROWS = int(os.environ.get("FINETUNE_CLUSTER_ROWS") or 1_000_000)
SHAPE = "most"
PARTS = 16
NAMES = ("clean.jsonl", "train.jsonl", "valid.jsonl")
SPLIT = ("--vars", "{validation_percent: 10}")


class Cost(NamedTuple):
    """When a command began and ended, and its peak memory."""

    began: float
    ended: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.ended - self.began:6.1f} s, {self.peak_mb:4.0f} MB at most"


def tell(text: str) -> None:
    sys.stderr.write(f"\n{text}")
    sys.stderr.flush()


def cost(
    workspace: Workspace,
    *command: str | Path,
    meanwhile: Callable[[], object] = lambda: None,
) -> Cost:
    """Run a command, call `meanwhile` while it runs, and return its cost."""
    log = workspace.folder / "log"
    peak = 0
    with log.open("wb") as output:
        began = time.time()
        with subprocess.Popen(
            command,
            cwd=workspace.folder,
            env=workspace.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process:
            # The peak of this program, without that of its parent.
            status = Path("/proc", str(process.pid), "status")
            try:
                while process.poll() is None:
                    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                    peak = max(peak, int(found[1]) if found else 0)
                    meanwhile()
                    time.sleep(0.1)
            except BaseException:
                process.kill()
                raise
    ended = time.time()
    assert process.returncode == 0, log.read_text()[-5000:]
    return Cost(began, ended, peak / 1024)


def build(
    workspace: Workspace, target: str, meanwhile: Callable[[], object] = lambda: None
) -> Cost:
    options = ("--no-use-colors", "build", "--project-dir", "dbt_project", *SPLIT)
    command = (DBT, *options, "--target", target)
    return cost(workspace, *command, meanwhile=meanwhile)


def export(workspace: Workspace, target: str) -> Cost:
    shutil.rmtree(workspace.folder / "files", ignore_errors=True)
    command = (sys.executable, "-m", "exporter", "export", "--target", target)
    return cost(workspace, *command)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "rows.jsonl"
    command = (sys.executable, "-m", "benchmarks.rows", path, "--rows", str(ROWS))
    subprocess.run((*command, "--shape", SHAPE), cwd=REPOSITORY, check=True)
    return path


@pytest.fixture(scope="module")
def expected(raw: Path, make_workspace: MakeWorkspace) -> Path:
    """Return the folder of the files of an export from PostgreSQL."""
    workspace = make_workspace()
    loaded = workspace.finetune("load", raw)
    assert loaded.returncode == 0, loaded.stderr
    tell(f"{ROWS:,} rows ({SHAPE} survive), {raw.stat().st_size / 1e6:.0f} MB of JSON")
    tell(f"PostgreSQL: build   {build(workspace, 'postgres')}")
    tell(f"PostgreSQL: export  {export(workspace, 'postgres')}")
    return workspace.folder / "files"


@pytest.fixture(scope="module")
def cluster(raw: Path) -> Iterator[Cluster]:
    """Yield a cluster with the raw rows in a Parquet table of several files."""
    with open_folder() as folder, running(folder) as cluster:
        builder = import_module("pyspark.sql").SparkSession.builder
        session = builder.remote(cluster.remote).create()
        session.sql("create schema public")
        table = session.read.schema("uid string, title string, content string")
        frame = table.json(str(raw)).repartition(PARTS)
        frame.write.format("parquet").saveAsTable("public.product")
        tell(f"Spark {session.version}: a master, 2 workers of 1 core, {PARTS} files")
        session.stop()
        yield cluster


@pytest.fixture(scope="module")
def workspace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a project that builds on the cluster."""
    folder = tmp_path_factory.mktemp("project")
    return project_in(folder, {"SPARK_REMOTE": cluster.remote})


def assert_same_files(files: Path, expected: Path) -> None:
    same, different, missing = filecmp.cmpfiles(files, expected, NAMES, shallow=False)
    assert (same, different, missing) == ([*NAMES], [], [])


def tell_shares(cluster: Cluster, during: Cost) -> None:
    for name, count in ("all tables", 0), ("the raw table", ROWS):
        shares = cluster.shares(during.began, during.ended, scanned=count)
        for executor, share in sorted(shares.items()):
            tell(f"  executor {executor}, {name}: {share}")


def test_both_executors_read_their_share_and_the_bytes_are_those_of_postgresql(
    cluster: Cluster, workspace: Workspace, expected: Path
) -> None:
    built = build(workspace, "spark")
    tell(f"Spark: build        {built}")
    tell_shares(cluster, built)
    exported = export(workspace, "spark")
    tell(f"Spark: export       {exported}")
    tell_shares(cluster, exported)
    assert_same_files(workspace.folder / "files", expected)
    raw_shares = cluster.shares(built.began, built.ended, scanned=ROWS)
    for shares in (raw_shares, cluster.shares(built.began, built.ended)):
        assert len(shares) == 2
        assert min(s.rows for s in shares.values()) * 3 > max(
            s.rows for s in shares.values()
        )


@pytest.mark.parametrize("part_bytes", [2 * ROWS, ROWS // 8])
def test_parts_have_similar_sizes_and_each_is_read_from_its_own_files(
    part_bytes: int,
    cluster: Cluster,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part costs the same among 300 and among 5,000, which 100 GB would have."""
    assert workspace
    monkeypatch.setenv("SPARK_REMOTE", cluster.remote)
    monkeypatch.setattr(spark, "_PART_BYTES", part_bytes)
    relation = Relation(None, "finetune", "training_pairs")
    session = import_module("pyspark.sql").SparkSession.builder.remote(cluster.remote)
    table = session.create().table("finetune.training_pairs__finetune_parts")
    with spark.open_snapshot(relation, []) as snapshot:
        columns = snapshot.columns(relation)
        began = time.time()
        with closing(snapshot.rows(relation, columns, columns[0])) as rows:
            next(rows)
            written = time.time()
            sizes = dict(table.groupBy("part").count().collect())
            some = [table.where(f"part = {part}") for part in sorted(sizes)[:300]]
            files = [{*part.inputFiles()} for part in some]
            read = time.time()
            for _ in islice(rows, sum(sizes[part] for part in sorted(sizes)[:60])):
                pass
    tell(
        f"Spark: {len(sizes):,} parts written in {written - began:.1f} s, "
        f"one read in {(time.time() - read) / 60 * 1e3:.0f} ms"
    )
    assert len(sizes) > 400 * ROWS / part_bytes
    assert max(sizes.values()) < 3 * sum(sizes.values()) / len(sizes)
    assert sum(map(len, files)) == len(set.union(*files)) == len(files)


def test_an_error_of_spark_is_one_line(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", cluster.remote)
    with (
        pytest.raises(FinetuneError, match=r"^Spark: \[TABLE_OR_VIEW_NOT_FOUND\].*"),
        spark.open_snapshot(Relation(None, "nowhere", "absent"), []),
    ):
        pass


def test_a_worker_killed_during_the_build_changes_no_byte(
    cluster: Cluster, workspace: Workspace, expected: Path
) -> None:
    killed: list[str] = []

    def kill() -> None:
        if not killed and cluster.writes_half_of("int_finetune__pairs_deduplicated"):
            killed.append(cluster.kill_worker("worker-2"))

    built = build(workspace, "spark", meanwhile=kill)
    tell(f"Spark, a worker killed: build   {built}")
    tell_shares(cluster, built)
    exported = export(workspace, "spark")
    tell(f"Spark, a worker less: export    {exported}")
    assert_same_files(workspace.folder / "files", expected)
    assert killed, "the build ended without a moment to kill in"
    [gone] = [
        event
        for event in cluster.events("SparkListenerExecutorRemoved")
        if event["Executor ID"] in killed
    ]
    assert built.began < gone["Timestamp"] / 1000 < built.ended
    lost = cluster.tasks_run_again(killed[0])
    tell(
        f"  executor {killed[0]} was lost with its worker; {lost} tasks were run again"
    )
    assert lost > 0
