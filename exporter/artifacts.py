"""dbt's target folder: the relations and tests of a data set after the last build."""

import json
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporter import dataset
from exporter.dataset import DataSet
from exporter.engines.relations import RawTable, Relation
from exporter.errors import FinetuneError

# The vars of the dbt project that name the raw table, its schema and its columns.
RAW_VARS = ("raw_schema", "raw_table", "id_column", "title_column", "content_column")

# dbt creates no relation for an ephemeral model, and PostgreSQL cannot lock a
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
        """Return the name of the dbt adapter, such as postgres."""
        return str(self.manifest["metadata"]["adapter_type"])

    def node(self, unique_id: str) -> dict[str, Any]:
        """Return the entry of a model, test, source or function in the manifest."""
        return dataset.node(self.manifest, unique_id)

    def materialization(self, unique_id: str) -> str | None:
        """Return how dbt stores a model, such as view, or None for what is none."""
        found: str | None = self.node(unique_id)["config"].get("materialized")
        return found


class DataTest(NamedTuple):
    """A compiled data test of the dbt project and its config."""

    unique_id: str
    name: str
    sql: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    limit: int | None


class Build(NamedTuple):
    """The relations of a data set, its tests, and the relations that both read."""

    artifacts: Artifacts
    data_set: DataSet
    examples: Relation
    funnel: Relation | None
    outcomes: Relation | None
    tests: list[DataTest]
    reads: list[Relation]

    @property
    def unique_ids(self) -> set[str]:
        """Return the unique ids of the models and tests, and of all their ancestors."""
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


def read_artifacts(project_dir: Path, target_path: Path) -> Artifacts:
    """Read the artifacts of dbt's last command.

    Raises:
        FinetuneError: A file is missing or was not written by dbt.
    """
    if not target_path.exists():
        require_project(project_dir)
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
            f"{target_path}: not written by dbt 1.11 ({error!s} is missing); "
            "run dbt build"
        ) from error
    return found


def require_project(project_dir: Path) -> Path:
    """Return the path of dbt_project.yml.

    Raises:
        FinetuneError: There is none.
    """
    path = project_dir / "dbt_project.yml"
    if not path.is_file():
        raise FinetuneError(
            f"{path}: no such file; cd to the folder that has it, name your project "
            "with --project-dir DIR, or create one with finetune init DIR"
        )
    return path


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

    The tests are those attached to one of its models, or to a relation that a model
    reads through views, down to the first that is stored, and the singular tests that
    refer to one of these.

    Raises:
        FinetuneError: The declaration of the data set is wrong.
    """
    data_set = dataset.read(artifacts.manifest, name)
    for key in dataset.MODEL_KEYS:
        model = getattr(data_set, key)
        if model and artifacts.materialization(model) == "ephemeral":
            raise data_set.error(
                key, "dbt creates no relation for an ephemeral model; make it a view"
            )
    covered = {
        *data_set.models,
        *_read_through_views(artifacts, data_set.examples),
        *(_read_through_views(artifacts, data_set.funnel) if data_set.funnel else ()),
    }
    tests = [
        node
        for node in artifacts.manifest["nodes"].values()
        if node["resource_type"] == "test" and covered & _tested(node)
    ]
    tested = {name for test in tests for name in test["depends_on"]["nodes"]}
    used = sorted(name for name in covered | tested if not name.startswith("function."))
    relations = {name: _relation(artifacts.node(name)) for name in used}
    # The files contain nothing of the outcomes, which read the whole raw table.
    read = (covered - {data_set.outcomes}) | tested
    return Build(
        artifacts=artifacts,
        data_set=data_set,
        examples=relations[data_set.examples],
        funnel=relations[data_set.funnel] if data_set.funnel else None,
        outcomes=relations[data_set.outcomes] if data_set.outcomes else None,
        tests=[_data_test(test) for test in sorted(tests, key=itemgetter("name"))],
        reads=[
            relation
            for name, relation in relations.items()
            if name in read and artifacts.materialization(name) not in _NOT_LOCKED
        ],
    )


def _read_through_views(artifacts: Artifacts, unique_id: str) -> Iterator[str]:
    """Yield a model and its ancestors, down to the first that is stored."""
    yield unique_id
    if artifacts.materialization(unique_id) in ("view", "ephemeral"):
        for parent in artifacts.node(unique_id)["depends_on"]["nodes"]:
            yield from _read_through_views(artifacts, parent)


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


def read_raw_table(project_dir: Path) -> RawTable:
    """Return the raw table that the project's vars name.

    Raises:
        FinetuneError: dbt_project.yml cannot be read, or has no such vars.
    """
    path = require_project(project_dir)
    try:
        vars_ = yaml.safe_load(path.read_bytes())["vars"]
        schema, table, uid, title, content = names = [vars_[var] for var in RAW_VARS]
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}; make it readable") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FinetuneError(
            f"{path}: vars must name {', '.join(RAW_VARS[:-1])} and {RAW_VARS[-1]}"
        ) from error
    for name in names:
        # dbt 1.11 runs Jinja in a var, and does not escape a quote in a name.
        if any(mark in str(name) for mark in ("{{", "{%", "{#", '"')):
            raise FinetuneError(
                f"{path}: dbt cannot use the name {name!r}, because of its braces or "
                "quotes; load into a table of other names, or create a view"
            )
    return RawTable(schema, table, (uid, title, content))
