"""PostgreSQL on several servers: the raw table in shards, and the same bytes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter.engines import embedded
from tests.workspace import (
    REPOSITORY,
    SHARED_DATA,
    MakeWorkspace,
    Workspace,
    open_folder,
)

SAMPLE = REPOSITORY / "examples" / "products.csv"
SOURCES = [
    SAMPLE,
    *(
        pytest.param(path, marks=pytest.mark.slow)
        for path in SHARED_DATA.glob("appstream_cc0.jsonl.gz")
    ),
]
NAMES = ("clean.jsonl", "train.jsonl", "valid.jsonl")
COLUMNS = 'uid text, title text collate "C", content text collate "C"'


@pytest.fixture(scope="module")
def servers() -> Iterator[list[dict[str, str]]]:
    """Yield libpq's variables of three servers: the local one, and two shards."""
    with open_folder() as folder, ExitStack() as stack:
        yield [
            stack.enter_context(embedded.serving(folder / name))
            for name in ("asked", "shard0", "shard1")
        ]


@pytest.fixture
def sharded(
    servers: list[dict[str, str]], make_workspace: MakeWorkspace
) -> tuple[Workspace, list[Workspace]]:
    """Return a project whose empty raw table is on the two shards."""
    asked, *shards = (make_workspace(variables) for variables in servers)
    asked.sql("create extension postgres_fdw")
    asked.sql(f"create table product ({COLUMNS}) partition by hash (uid)")
    for number, shard in enumerate(shards):
        at = shard.environment
        shard.sql(f"create table product ({COLUMNS})")
        asked.sql(
            f"create server shard{number} foreign data wrapper postgres_fdw options"
            f" (host '{at['PGHOST']}', port '{at['PGPORT']}',"
            f" dbname '{at['PGDATABASE']}', fetch_size '10000',"
            " batch_size '1000', async_capable 'true')"
        )
        asked.sql(
            f"create user mapping for current_user server shard{number}"
            f" options (user '{at['PGUSER']}')"
        )
        asked.sql(
            f"create foreign table product_{number} partition of product"
            f" for values with (modulus 2, remainder {number})"
            f" server shard{number} options (table_name 'product')"
        )
    return asked, shards


def load(workspace: Workspace, *options: str | Path) -> str:
    done = workspace.finetune("load", *options)
    assert done.returncode == 0, done.stderr
    return done.stderr


def exported(workspace: Workspace) -> dict[str, bytes]:
    files = workspace.export()
    return {name: (files / name).read_bytes() for name in NAMES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_rows_on_two_servers_give_the_same_bytes(
    source: Path,
    sharded: tuple[Workspace, list[Workspace]],
    workspace: Workspace,
) -> None:
    asked, shards = sharded
    for one in (asked, workspace):
        load(one, source)
        one.build("--vars", "{validation_percent: 20}")
    counts = [shard.sql("select count(*) from product")[0][0] for shard in shards]
    [[everything]] = workspace.sql("select count(*) from product")
    assert sum(counts) == everything
    assert min(counts) > everything / 3
    # The pairs are on the local server: the export needs no other.
    for shard in shards:
        shard.sql("drop table product")
    assert exported(asked) == exported(workspace)


def test_loading_replaces_and_appends_on_every_server(
    sharded: tuple[Workspace, list[Workspace]],
) -> None:
    asked, shards = sharded
    for options in ([], ["--replace"], ["--append"]):
        done = load(asked, SAMPLE, *options)
        assert done.startswith("363 rows loaded into public.product\n")
    refused = asked.finetune("load", SAMPLE)
    assert refused.returncode == 1
    assert "public.product has rows already" in refused.stderr
    bad = asked.finetune("load", "-", "--append", text='{"uid": "1"}\n')
    assert bad.returncode == 1
    counts = [shard.sql("select count(*) from product")[0][0] for shard in shards]
    assert sum(counts) == 2 * 363


def test_the_shards_apply_the_rules_on_a_row(
    sharded: tuple[Workspace, list[Workspace]],
) -> None:
    asked, _ = sharded
    built = asked.dbt("run", "--select", "+int_finetune__products_judged")
    assert built.returncode == 0, built.stdout
    # For the count of titles, the shards send the titles of kept rows.
    kept = "from finetune.int_finetune__products_judged where dropped_by is null"
    titles = f"select title {kept}"
    # For the pairs, they send all columns of kept rows, and no other rows.
    pairs = f"select uid, title, description {kept}"
    for query, columns in [(titles, "title"), (pairs, "uid, title, content")]:
        scans = foreign_scans(asked, query)
        assert len(scans) == 2
        for scan in scans:
            assert scan["Async Capable"] is True
            assert "Filter" not in scan
            remote = " ".join(scan["Remote SQL"].split())
            assert remote.startswith(f"SELECT {columns} FROM public.product WHERE ")
            for part in ("btrim(title, ", "length(btrim(content, ", "> 10"):
                assert part in remote
    empty = "select count(*) from product where content is null"
    assert [scan["Remote SQL"] for scan in foreign_scans(asked, empty)] == [
        "SELECT NULL FROM public.product WHERE ((content IS NULL))"
    ] * 2


def foreign_scans(workspace: Workspace, query: str) -> list[dict[str, Any]]:
    """Return the foreign scans in the plan of a query."""
    [[[explained]]] = workspace.sql(f"explain (verbose, format json) {query}")

    def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield plan
        for below in plan.get("Plans", []):
            yield from nodes(below)

    return [node for node in nodes(explained["Plan"]) if "Remote SQL" in node]
