"""Spark: bad, changed or unsorted rows are refused."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from exporter import artifacts, dataset, manifest
from exporter.engines import spark
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from exporter.examples import Examples
from exporter.export import export
from exporter.files import drafts
from tests.spark.sail import changed, sail, session_of
from tests.workspace import Workspace

PAIRS = "finetune.int_finetune__pairs_deduplicated"


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
    """The new rows pass every test, so only the checksum detects them."""
    remote = built_on_spark.environment["SPARK_REMOTE"]
    monkeypatch.setenv("SPARK_REMOTE", remote)
    monkeypatch.chdir(built_on_spark.folder)
    target = built_on_spark.project / "target"
    found = artifacts.read_artifacts(built_on_spark.project, target)
    build = artifacts.read_build(found, "product_descriptions")

    @contextmanager
    def disturbed(
        examples: Relation, read: Sequence[Relation]
    ) -> Iterator[spark.Snapshot]:
        with (
            spark.open_snapshot(examples, read) as snapshot,
            changed(built_on_spark, PAIRS, first_uid="upper(first_uid)"),
        ):
            yield snapshot

    with pytest.raises(FinetuneError, match=r"training_pairs changed during the exp"):
        export(
            build,
            open_snapshot=disturbed,
            output_dir=tmp_path / "files",
            system=None,
            gate=gate,
        )
    assert [*(tmp_path / "files").iterdir()] == []


def test_a_build_during_the_export_is_refused_even_if_the_pairs_are_equal(
    built_on_spark: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", built_on_spark.environment["SPARK_REMOTE"])
    pairs, funnel = (
        Relation(None, "finetune", name) for name in ("training_pairs", "filter_funnel")
    )
    with spark.open_snapshot(pairs, [pairs, funnel]) as snapshot:
        columns = snapshot.columns(pairs)
        assert len([*snapshot.rows(pairs, columns, columns[0])]) == 303
        with (
            changed(built_on_spark, str(funnel), dbt_invocation_id="'another'"),
            pytest.raises(FinetuneError, match=r"finetune\.filter_funnel changed"),
        ):
            [*snapshot.rows(pairs, columns, columns[0])]


def test_pairs_in_a_wrong_order_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sail 0.7 with two threads shuffles a sorted result."""
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
            spark.open_snapshot(relation, []) as snapshot,
            drafts(tmp_path, *manifest.NAMES[:3]) as files,
        ):
            examples = Examples(snapshot, build, system=None, counter=None)
            try:
                counts = examples.write({}, *files)
                outcome = f"{counts['train']['pairs']} in order"
            except FinetuneError as error:
                outcome = str(error)
        assert outcome == "45000 in order" or "does not keep the order" in outcome


def test_parts_contain_each_row_once_for_any_key_and_are_dropped_at_the_end(
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

        with spark.open_snapshot(relation, []) as snapshot:
            columns = snapshot.columns(relation)
            assert [*snapshot.rows(relation, columns, columns[0])] == sorted(rows)
            monkeypatch.setattr(spark, "_PART_BYTES", 10_000)
            # A killed export leaves this table.
            session.sql("create table finetune.pairs__finetune_parts as select 1 as n")
            assert [*snapshot.rows(relation, columns, columns[0])] == sorted(rows)
            assert tables() == {"pairs"}
            with closing(snapshot.rows(relation, columns, columns[0])) as begun:
                next(begun)
                assert tables() == {"pairs", "pairs__finetune_parts"}
            assert tables() == {"pairs"}
