"""Spark: the same bytes as PostgreSQL, the same gate, and clear refusals.

Sail, a Spark Connect server in one process, proves the dialect; `make
test-cluster` proves the distribution.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from exporter import artifacts, dataset, manifest
from exporter.engines import silence, spark
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from exporter.examples import Examples
from exporter.export import export
from exporter.files import drafts
from tests import oracle
from tests.rows import DATA_SETS, LARGE, SAMPLE, read
from tests.spark_cluster import answers, free_ports, wait_for
from tests.workspace import REPOSITORY, Workspace, project_in

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PAIRS = "finetune.int_finetune__pairs_deduplicated"
SCHEMA = REPOSITORY / "exporter" / "manifest.schema.json"


@pytest.fixture(scope="session", autouse=True)
def _main_module_with_a_file() -> Iterator[None]:
    """Without one, as in xdist's workers, pyspark believes in doctests and exits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
        yield


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


@pytest.fixture(scope="session")
def server_of_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # With more, Sail 0.7 shuffles the batches of a sorted result.
    with sail(1, tmp_path_factory.mktemp("sail") / "log") as (address, _):
        yield address


@contextmanager
def session_of(remote: str) -> Iterator["SparkSession"]:
    from pyspark.sql import SparkSession  # noqa: PLC0415  # It takes a second.

    session = SparkSession.builder.remote(remote).create()
    try:
        yield session
    finally:
        # Else it asks again when Python ends, for ten minutes.
        session.client.close()


MakeOnSpark = Callable[[Sequence[oracle.Row]], Workspace]


@pytest.fixture(scope="session")
def make_on_spark(
    server_of_spark: str, tmp_path_factory: pytest.TempPathFactory
) -> MakeOnSpark:
    """Return a function that makes a project, with a session that has the rows."""

    def make(rows: Sequence[oracle.Row]) -> Workspace:
        # Sail's catalog lives as long as the session, so all use one.
        remote = f"{server_of_spark}/;session_id={uuid.uuid4()}"
        with session_of(remote) as session:
            session.sql("create schema public")
            columns = "uid string, title string, content string"
            session.createDataFrame(rows, columns).write.saveAsTable("public.product")
        variables = {"SPARK_REMOTE": remote, "DBT_TARGET": "spark"}
        return project_in(tmp_path_factory.mktemp("spark"), variables)

    return make


# All shared data sets in two tables, because each build takes its time.
TABLES = [LARGE, [path for path in DATA_SETS if path not in LARGE]]


@pytest.mark.parametrize(
    "paths",
    [
        pytest.param(paths, marks=[pytest.mark.slow] if paths is LARGE else [])
        for paths in TABLES
        if paths
    ],
    ids=lambda paths: "+".join(path.stem.partition(".")[0] for path in paths),
)
def test_the_bytes_are_those_of_postgresql(
    paths: list[Path], make_on_spark: MakeOnSpark, workspace: Workspace
) -> None:
    rows = [row for path in paths for row in read(path)]
    on_spark = make_on_spark(rows)
    workspace.insert(rows)
    options = ("--vars", "{validation_percent: 10}")
    on_spark.build(*options)
    workspace.build(*options)
    theirs, ours = on_spark.export("--target", "spark"), workspace.export("--no-gate")
    for name in ("clean.jsonl", "train.jsonl", "valid.jsonl"):
        assert (theirs / name).read_bytes() == (ours / name).read_bytes()


@pytest.fixture(scope="session")
def built_on_spark(make_on_spark: MakeOnSpark) -> Workspace:
    """Return a project built from the sample; tests leave it as it was."""
    workspace = make_on_spark(read(SAMPLE))
    workspace.build(unit_tests=True)
    return workspace


def test_one_command_builds_and_exports_on_spark(
    make_on_spark: MakeOnSpark, sample: Workspace
) -> None:
    on_spark = make_on_spark(read(SAMPLE))
    done = on_spark.finetune("export", "--build", "--target", "spark")
    assert done.returncode == 0, done.stderr
    ours = sample.export()
    for name in ("clean.jsonl", "train.jsonl"):
        assert (on_spark.folder / "files" / name).read_bytes() == (
            ours / name
        ).read_bytes()
    assert "gate: 31 tests on the rows to be written" in done.stderr


def test_every_test_of_the_project_runs_on_spark(built_on_spark: Workspace) -> None:
    target = built_on_spark.project / "target"
    manifest = json.loads((target / "manifest.json").read_bytes())
    results = json.loads((target / "run_results.json").read_bytes())["results"]
    tests = {
        name
        for kind in ("nodes", "unit_tests")
        for name in manifest[kind]
        if "test." in name
    }
    ran = {r["unique_id"]: r["status"] for r in results if r["unique_id"] in tests}
    assert ran.keys() == tests
    assert {name for name, status in ran.items() if status != "pass"} == {
        name
        for name in tests
        if "raw_product_has_a_" in name or "description_holds_no_html" in name
    }


def test_the_manifest_tells_the_engine_and_the_checksum(
    built_on_spark: Workspace,
) -> None:
    files = built_on_spark.export("--target", "spark")
    document = json.loads((files / "manifest.json").read_bytes())
    jsonschema.validate(document, json.loads(SCHEMA.read_bytes()))
    assert document["engine"] == "spark"
    assert document["relation"]["database"] is None
    assert document["snapshot"].startswith("303 rows, checksum ")
    assert {test["status"] for test in document["gate"]["tests"]} == {"pass", "warn"}


@contextmanager
def changed(workspace: Workspace, table: str, **columns: str) -> Iterator[None]:
    """Put a table with other expressions for some columns in place for a while."""
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


def test_a_bad_row_is_refused_by_the_gate(built_on_spark: Workspace) -> None:
    short = "case when pair_id < '01' then 'short' else description end"
    with changed(built_on_spark, PAIRS, description=short):
        done = built_on_spark.finetune("export", "--target", "spark", "-o", "refused")
    assert (done.returncode, done.stdout) == (1, "")
    assert "fail: training_pairs_description_is_long_enough: 4 found" in done.stderr
    assert "\n  description='short'\n" in done.stderr
    assert not (built_on_spark.folder / "refused").exists()


@pytest.mark.parametrize("gate", [True, False])
def test_rows_that_change_during_the_export_are_refused(
    gate: bool,
    built_on_spark: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The new rows pass every test, so nothing but the checksum can tell."""
    remote = built_on_spark.environment["SPARK_REMOTE"]
    monkeypatch.setenv("SPARK_REMOTE", remote)
    monkeypatch.chdir(built_on_spark.folder)
    target = built_on_spark.project / "target"
    found = artifacts.read_artifacts(built_on_spark.project, target)
    data_set = dataset.read(found.manifest, "product_descriptions")
    build = artifacts.read_build(found, data_set)

    @contextmanager
    def disturbed(
        examples: Relation, read: Sequence[Relation]
    ) -> Iterator[spark.Snapshot]:
        with (
            spark.snapshot(examples, read) as moment,
            changed(built_on_spark, PAIRS, first_uid="upper(first_uid)"),
        ):
            yield moment

    with pytest.raises(FinetuneError, match=r"training_pairs changed during the exp"):
        export(
            build,
            snapshot=disturbed,
            output_dir=tmp_path / "files",
            system=None,
            gate=gate,
        )
    assert [*(tmp_path / "files").iterdir()] == []


def test_a_build_during_the_export_is_refused_though_the_pairs_are_the_same(
    built_on_spark: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", built_on_spark.environment["SPARK_REMOTE"])
    pairs, funnel = (
        Relation(None, "finetune", name) for name in ("training_pairs", "filter_funnel")
    )
    with spark.snapshot(pairs, [pairs, funnel]) as moment:
        columns = moment.columns(pairs)
        assert len([*moment.rows(pairs, columns, columns[0])]) == 303
        with (
            changed(built_on_spark, str(funnel), dbt_invocation_id="'another'"),
            pytest.raises(FinetuneError, match=r"finetune\.filter_funnel changed"),
        ):
            [*moment.rows(pairs, columns, columns[0])]


def test_pairs_come_in_order_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sail 0.7 with two threads shuffles what it sorted."""
    relation = Relation(None, "default", "many")
    with sail(2, tmp_path / "log") as (server, _):
        remote = f"{server}/;session_id={uuid.uuid4()}"
        monkeypatch.setenv("SPARK_REMOTE", remote)
        with session_of(remote) as session:
            session.sql(
                "create view many as select md5(cast(id as string)) as pair_id,"
                " 'a' as title, 'b' as description, 'train' as split,"
                " id as title_occurrences, id as copies, 'c' as first_uid"
                " from range(45000)"
            )
        artifacts_ = artifacts.Artifacts(tmp_path, tmp_path, {}, {})
        keys = ("pair_id", "title", "description", None, None, "split", None, None)
        data_set = dataset.DataSet("exposure.p.many", "many.yml", "model.p.many", *keys)
        build = artifacts.Build(artifacts_, data_set, relation, None, None, [], [])
        with (
            spark.snapshot(relation, []) as moment,
            drafts(tmp_path, *manifest.NAMES[:3]) as files,
        ):
            examples = Examples(moment, build, system=None, counter=None)
            try:
                counts = examples.write(examples.rows(), *files)
                outcome = f"{counts['train']['pairs']} in order"
            except FinetuneError as error:
                outcome = str(error)
        assert outcome == "45000 in order" or "does not keep the order" in outcome


def test_parts_hold_each_row_once_whatever_the_key_and_are_gone_at_the_end(
    server_of_spark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(rf"it's \{n}é", "a lamp", n) for n in range(3_000)]
    remote = f"{server_of_spark}/;session_id={uuid.uuid4()}"
    monkeypatch.setenv("SPARK_REMOTE", remote)
    relation = Relation(None, "finetune", "pairs")
    with session_of(remote) as session:
        session.sql("create schema finetune")
        frame = session.createDataFrame(rows, "pair_id string, `a b` string, n int")
        frame.write.saveAsTable("finetune.pairs")

        def tables() -> set[str]:
            found = session.sql("show tables in finetune").collect()
            return {row["tableName"] for row in found}

        with spark.snapshot(relation, []) as moment:
            columns = moment.columns(relation)
            assert [*moment.rows(relation, columns, columns[0])] == sorted(rows)
            monkeypatch.setattr(spark, "_PART_BYTES", 10_000)
            # As an export leaves it that was killed.
            session.sql("create table finetune.pairs__finetune_parts as select 1 as n")
            assert [*moment.rows(relation, columns, columns[0])] == sorted(rows)
            assert tables() == {"pairs"}
            with closing(moment.rows(relation, columns, columns[0])) as begun:
                next(begun)
                assert tables() == {"pairs", "pairs__finetune_parts"}
            assert tables() == {"pairs"}


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_falls_silent_or_dies_ends_a_query_in_time(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "LONGEST", 2.0)
    relation = Relation(None, "default", "one")
    with sail(1, tmp_path / "log") as (server, process):
        remote = f"{server}/;session_id={uuid.uuid4()}"
        monkeypatch.setenv("SPARK_REMOTE", remote)
        with session_of(remote) as session:
            session.sql("create view one as select 'a' as pair_id")
        with spark.snapshot(relation, []) as moment:
            process.send_signal(number)
            began = time.monotonic()
            with pytest.raises(FinetuneError, match=r"^Spark Connect: no answer for 2"):
                moment.query("select 1")
        took = time.monotonic() - began
        process.send_signal(signal.SIGCONT)
    assert took < 15


def test_a_port_where_nobody_answers_is_left_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "LONGEST", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"sc://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("SPARK_REMOTE", address)
        spark.require_server()
        with (
            pytest.raises(FinetuneError, match=r"^Spark Connect: no answer for 1 "),
            spark.snapshot(Relation(None, "default", "one"), []),
        ):
            pass


def test_silence_is_counted_from_the_last_word_of_the_server(
    server_of_spark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", f"{server_of_spark}/;session_id={uuid.uuid4()}")
    monkeypatch.setattr(silence, "LONGEST", 1.0)
    with session_of(os.environ["SPARK_REMOTE"]) as session:
        session.sql("create view one as select 'a' as pair_id")
        with spark.snapshot(Relation(None, "default", "one"), []) as moment:
            for _ in range(3):
                time.sleep(0.6)
                assert moment.query("select 1 as n") == [{"n": 1}]


def refusal(workspace: Workspace, *arguments: str, **variables: str) -> str:
    """Return the one line with which an export refuses."""
    done = workspace.finetune("export", *arguments, limits=None, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("finetune: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_target_must_be_that_of_the_build(
    built_on_spark: Workspace, sample: Workspace
) -> None:
    line = refusal(built_on_spark)
    assert "dbt built on spark, but --target is postgres; give --target spark" in line
    line = refusal(sample, "--target", "spark")
    assert "dbt built on postgres, but --target is spark" in line


@pytest.mark.parametrize(
    ("remote", "message"),
    [
        ("sc://127.0.0.1:1", "127.0.0.1:1: Connection refused; start a server there"),
        ("sc://nowhere.invalid", "nowhere.invalid:15002: "),
        ("local[2]", "SPARK_REMOTE is not an address such as sc://HOST:PORT"),
    ],
)
def test_no_server_is_one_clear_line(
    remote: str, message: str, built_on_spark: Workspace
) -> None:
    line = refusal(built_on_spark, "--target", "spark", SPARK_REMOTE=remote)
    assert message in line


def test_without_an_address_the_port_of_spark_connect_on_this_machine_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    address = ("127.0.0.1", 15002)
    profile = (REPOSITORY / "profiles.yml.example").read_text()
    assert f"env_var('SPARK_REMOTE', 'sc://{address[0]}:{address[1]}')" in profile
    with ExitStack() as stack:
        with suppress(OSError):  # Somebody's Spark is there already.
            stack.enter_context(socket.create_server(address))
        spark.require_server()


def test_a_missing_relation_is_one_clear_line(
    built_on_spark: Workspace, server_of_spark: str
) -> None:
    line = refusal(built_on_spark, "--target", "spark", SPARK_REMOTE=server_of_spark)
    assert "finetune: Spark: " in line
    assert line.endswith("; run dbt build --project-dir dbt_project --target spark\n")


def without(module: str, program: str) -> list[str]:
    """Return the command that runs a program where a module cannot be imported."""
    code = f"import sys; sys.modules[{module!r}] = None; {program}"
    return [sys.executable, "-c", code]


def test_without_the_extra_the_export_tells_how_to_get_it(
    built_on_spark: Workspace,
) -> None:
    program = "from exporter.cli import main; main()"
    done = built_on_spark.run(
        [*without("pyspark", program), "export", "--target", "spark"]
    )
    assert done.returncode == 1
    assert done.stderr.endswith("; pip install 'finetune-exporter[spark]'\n")
    assert done.stderr.count("\n") == 1


def test_without_the_extra_postgresql_is_not_affected(workspace: Workspace) -> None:
    program = "from dbt.cli.main import cli; cli(sys.argv[1:])"
    arguments = ["--warn-error", "parse", "--project-dir", "dbt_project"]
    parsed = workspace.run([*without("dbt.adapters.spark", program), *arguments])
    assert parsed.returncode == 0, parsed.stdout
    program = "import exporter.cli; assert not {'pyspark', 'grpc'} & {*sys.modules}"
    assert workspace.run([sys.executable, "-c", f"import sys; {program}"]).stderr == ""


def test_samples_of_dropped_rows_are_those_of_postgresql(
    built_on_spark: Workspace, built_sample: Workspace
) -> None:
    theirs, ours = (
        workspace.finetune("funnel", "--samples", "3", "--target", target)
        for workspace, target in [(built_on_spark, "spark"), (built_sample, "postgres")]
    )
    assert theirs.returncode == 0, theirs.stderr
    assert theirs.stdout == ours.stdout
    assert theirs.stdout.count("\n  uid=") == 11
