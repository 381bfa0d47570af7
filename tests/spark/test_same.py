"""Spark: the same bytes, tests and samples as on PostgreSQL."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.rows import DATA_SETS, LARGE, SAMPLE, read
from tests.spark.conftest import MakeOnSpark
from tests.workspace import REPOSITORY, Workspace

SCHEMA = REPOSITORY / "exporter" / "manifest.schema.json"

# All shared data sets in two tables, because each build is slow.
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


def test_the_manifest_has_the_engine_and_the_checksum(
    built_on_spark: Workspace,
) -> None:
    files = built_on_spark.export("--target", "spark")
    document = json.loads((files / "manifest.json").read_bytes())
    jsonschema.validate(document, json.loads(SCHEMA.read_bytes()))
    assert document["engine"] == "spark"
    assert document["relation"]["database"] is None
    assert document["snapshot"].startswith("303 rows, checksum ")
    assert {test["status"] for test in document["gate"]["tests"]} == {"pass", "warn"}


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
