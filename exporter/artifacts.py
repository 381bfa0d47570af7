"""What dbt left in its target folder: relations and tests of a data set."""

import json
import os
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporter import dataset
from exporter.dataset import DataSet
from exporter.engines.relations import RawTable, Relation
from exporter.errors import FinetuneError

# Statuses of dbt's run_results.json (v6) that mean a part was not built or
# tested as it should be.
_BAD_STATUSES = {"error", "fail", "skipped", "runtime error", "partial success"}

# The vars of the dbt project that name the raw table, its schema and its columns.
RAW_VARS = ("raw_schema", "raw_table", "id_column", "title_column", "content_column")

# dbt keeps no relation for an ephemeral model, and PostgreSQL locks no
# materialized view (tried on 18, November 2026).
_NOT_LOCKED = {"ephemeral", "materialized_view"}


class Artifacts(NamedTuple):
    """manifest.json (v12) and run_results.json (v6) of a project's target folder."""

    project_dir: Path
    target_path: Path
    manifest: dict[str, Any]
    results: dict[str, Any]

    @property
    def engine(self) -> str:
        """Return the adapter of dbt that built, such as postgres."""
        return str(self.manifest["metadata"]["adapter_type"])

    def node(self, unique_id: str) -> dict[str, Any]:
        """Return what the manifest says of a model, source or test."""
        return dataset.node(self.manifest, unique_id)


class DataTest(NamedTuple):
    """A data test of the dbt project, compiled, with dbt's settings for it."""

    unique_id: str
    name: str
    sql: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    limit: int | None


class Build(NamedTuple):
    """The relations of a data set and the tests that guard it."""

    artifacts: Artifacts
    data_set: DataSet
    examples: Relation
    funnel: Relation | None
    outcomes: Relation | None
    tests: list[DataTest]
    read: list[Relation]

    @property
    def unique_ids(self) -> set[str]:
        """Return the unique ids of the models and tests, and of all they depend on."""
        tests = (test.unique_id for test in self.tests)
        found: set[str] = set()
        waiting = [*self.data_set.models, *tests]
        while waiting:
            unique_id = waiting.pop()
            if unique_id not in found:
                found.add(unique_id)
                node = self.artifacts.node(unique_id)
                waiting += node.get("depends_on", {}).get("nodes", [])
        return found

    def faults(self) -> Iterator[str]:
        """Yield the reasons not to trust the last run of dbt for this data set."""
        ours = self.unique_ids
        for result in self.artifacts.results["results"]:
            if result["unique_id"] in ours and result["status"] in _BAD_STATUSES:
                name = result["unique_id"].split(".")[2]
                yield f"{name}: {result['status']} in dbt's last run"
        wanted = os.environ.get("DBT_SCHEMA")
        schema = self.examples.schema
        if wanted and schema != wanted and not schema.startswith(f"{wanted}_"):
            yield f"built in schema {schema}, but DBT_SCHEMA is {wanted}"


def read_artifacts(project_dir: Path, target_path: Path) -> Artifacts:
    """Read what the last run of dbt left.

    Raises:
        FinetuneError: A file is missing or not dbt's.
    """
    found = Artifacts(
        project_dir,
        target_path,
        _read_json(target_path / "manifest.json"),
        _read_json(target_path / "run_results.json"),
    )
    try:
        _ = found.engine, found.manifest["exposures"], found.results["results"]
    except (KeyError, TypeError) as error:
        raise FinetuneError(
            f"{target_path}: not what dbt 1.11 leaves there ({error!s} is missing); "
            "run dbt build"
        ) from error
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}; run dbt build") from error
    except ValueError as error:
        raise FinetuneError(f"{path}: not JSON; run dbt build again") from error
    return value


def read_build(artifacts: Artifacts, name: str) -> Build:
    """Return the data set of that name, its relations and its tests.

    Its tests are those attached to one of its models, or to a relation that these
    read through views, down to the first that is stored, and the singular tests
    that refer to one.

    Raises:
        FinetuneError: The data set is not declared as it must be.
    """
    data_set = dataset.read(artifacts.manifest, name)
    guarded = {
        *data_set.models,
        *_read_through_views(artifacts, data_set.examples),
        *(_read_through_views(artifacts, data_set.funnel) if data_set.funnel else ()),
    }
    tests = [
        node
        for node in artifacts.manifest["nodes"].values()
        if node["resource_type"] == "test" and guarded & _tested(node)
    ]
    tested = {name for test in tests for name in test["depends_on"]["nodes"]}
    used = sorted(guarded | tested)
    relations = {name: _relation(artifacts.node(name)) for name in used}
    # No byte of a file comes from the outcomes, which read the whole raw table.
    read = (guarded - {data_set.outcomes}) | tested
    return Build(
        artifacts=artifacts,
        data_set=data_set,
        examples=relations[data_set.examples],
        funnel=relations[data_set.funnel] if data_set.funnel else None,
        outcomes=relations[data_set.outcomes] if data_set.outcomes else None,
        tests=[_data_test(test) for test in sorted(tests, key=itemgetter("name"))],
        read=[
            relation
            for name, relation in relations.items()
            if name in read
            and artifacts.node(name)["config"].get("materialized") not in _NOT_LOCKED
        ],
    )


def _read_through_views(artifacts: Artifacts, unique_id: str) -> Iterator[str]:
    """Yield a model and what it reads, down to the first that is stored."""
    yield unique_id
    node = artifacts.node(unique_id)
    if node["config"].get("materialized") in ("view", "ephemeral"):
        for below in node["depends_on"]["nodes"]:
            yield from _read_through_views(artifacts, below)


def _tested(test: dict[str, Any]) -> set[str]:
    """Return the model that a test is attached to, or all that a singular one reads."""
    attached = test.get("attached_node")
    return {attached} if attached else {*test["depends_on"]["nodes"]}


def _relation(node: dict[str, Any]) -> Relation:
    return Relation(
        node["database"], node["schema"], node.get("alias") or node["identifier"]
    )


def _data_test(node: dict[str, Any]) -> DataTest:
    settings = ("severity", "fail_calc", "warn_if", "error_if", "limit")
    sql = node.get("compiled_code") or ""
    config = {name: node["config"][name] for name in settings}
    return DataTest(node["unique_id"], node["name"], sql, **config)


def raw_names(project_dir: Path) -> RawTable:
    """Return the raw table that the project's vars name.

    Raises:
        FinetuneError: There is no readable dbt_project.yml.
    """
    path = project_dir / "dbt_project.yml"
    try:
        vars_ = yaml.safe_load(path.read_bytes())["vars"]
        schema, table, uid, title, content = names = [vars_[var] for var in RAW_VARS]
    except OSError as error:
        raise FinetuneError(
            f"{path}: {error.strerror}; name its folder with --project-dir DIR"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FinetuneError(
            f"{path}: vars must name {', '.join(RAW_VARS[:-1])} and {RAW_VARS[-1]}"
        ) from error
    for name in names:
        # dbt 1.11 would execute the first two, and does not double the third.
        if any(mark in str(name) for mark in ("{{", "{%", "{#", '"')):
            raise FinetuneError(
                f"{path}: the var {name!r} is no name that dbt can use, because of its "
                "braces or quotes; load into a table of other names, or make a view"
            )
    return RawTable(schema, table, (uid, title, content))
