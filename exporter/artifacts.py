"""What dbt left in its target folder: relations, tests, how the last run went."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporter.engines.postgres import RawTable
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError

# Statuses of dbt's run_results.json (v6) that mean a part was not built or
# tested as it should be.
_BAD_STATUSES = {"error", "fail", "skipped", "runtime error", "partial success"}


class DataTest(NamedTuple):
    """A data test of the dbt project, compiled, with dbt's settings for it."""

    name: str
    sql: str
    severity: str
    fail_calc: str
    warn_if: str
    error_if: str
    limit: int | None


class Build(NamedTuple):
    """What dbt's artifacts say of the published relation."""

    project_dir: Path
    engine: str
    dbt_version: str
    pairs: Relation
    funnel: Relation
    dropped: Relation
    tests: list[DataTest]
    tested_relations: list[Relation]
    faults: list[str]

    def changed_since(self, built_at: str) -> Path | None:
        """Return a file of the project that is newer than the build, if any."""
        moment = datetime.fromisoformat(built_at).timestamp()
        for path in _project_files(self.project_dir):
            stat = path.stat()
            if max(stat.st_mtime, stat.st_ctime) > moment:
                return path
        return None


def read_build(project_dir: Path, target_path: Path) -> Build:
    """Read manifest.json (v12) and run_results.json (v6) of the last dbt run.

    Raises:
        FinetuneError: They are missing or not of this project.
    """
    manifest = _read_json(target_path / "manifest.json")
    results = _read_json(target_path / "run_results.json")
    try:
        return _build(project_dir, manifest, results)
    except (KeyError, TypeError, AttributeError) as error:
        raise FinetuneError(
            f"{target_path}: not the artifacts of this project ({error!s} is "
            "missing); run dbt build"
        ) from error


def _build(
    project_dir: Path, manifest: dict[str, Any], results: dict[str, Any]
) -> Build:
    nodes: dict[str, Any] = manifest["nodes"]
    project = manifest["metadata"]["project_name"]
    pairs, funnel, dropped = (
        f"model.{project}.{name}"
        for name in ("training_pairs", "filter_funnel", "dropped_products")
    )
    guarded = {pairs, funnel, *nodes[pairs]["depends_on"]["nodes"]}
    tests = [
        node
        for node in nodes.values()
        if node["resource_type"] == "test" and guarded & {*node["depends_on"]["nodes"]}
    ]
    tested = {name for test in tests for name in test["depends_on"]["nodes"]} | guarded
    return Build(
        project_dir=project_dir,
        engine=manifest["metadata"]["adapter_type"],
        dbt_version=manifest["metadata"]["dbt_version"],
        pairs=_relation(nodes[pairs]),
        funnel=_relation(nodes[funnel]),
        dropped=_relation(nodes[dropped]),
        tests=[_data_test(test) for test in sorted(tests, key=lambda t: t["name"])],
        tested_relations=[
            _relation(node)
            for name in sorted(tested - {pairs})
            if (node := nodes.get(name) or manifest["sources"].get(name))
            and node.get("config", {}).get("materialized")
            not in ("ephemeral", "materialized_view")
        ],
        faults=[*_faults(project_dir, manifest, results, tests, nodes[pairs])],
    )


def _faults(
    project_dir: Path,
    manifest: dict[str, Any],
    results: dict[str, Any],
    tests: list[dict[str, Any]],
    pairs: dict[str, Any],
) -> Iterator[str]:
    """Yield the reasons not to trust the artifacts."""
    if manifest["metadata"]["invocation_id"] != results["metadata"]["invocation_id"]:
        yield "a later dbt command replaced the manifest of the last run"
    for result in results["results"]:
        if result["status"] in _BAD_STATUSES:
            name = result["unique_id"].split(".")[2]
            yield f"{name}: {result['status']} in dbt's last run"
    if not all(test.get("compiled_code") for test in tests):
        yield "dbt's last command did not compile the tests"
    schema = os.environ.get("DBT_SCHEMA")
    if schema and pairs["schema"] != schema:
        yield f"built in schema {pairs['schema']}, but DBT_SCHEMA is {schema}"
    for node in manifest["nodes"].values():
        path = project_dir / node["original_file_path"]
        if (
            node["package_name"] == manifest["metadata"]["project_name"]
            and not path.exists()
        ):
            yield f"{path}: removed since the build"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}; run dbt build first") from error
    except ValueError as error:
        raise FinetuneError(f"{path}: not JSON; run dbt build again") from error
    return value


def _relation(node: dict[str, Any]) -> Relation:
    return Relation(
        node["database"], node["schema"], node.get("alias") or node["identifier"]
    )


def _data_test(node: dict[str, Any]) -> DataTest:
    config = node["config"]
    return DataTest(
        name=node["name"],
        sql=node.get("compiled_code") or "",
        severity=config["severity"].lower(),
        fail_calc=config["fail_calc"],
        warn_if=config["warn_if"],
        error_if=config["error_if"],
        limit=config["limit"],
    )


def _project_files(project_dir: Path) -> Iterator[Path]:
    """Yield the files that say what dbt builds, profiles.yml included."""
    for path in [Path("profiles.yml"), project_dir / "profiles.yml"]:
        if path.exists():
            yield path
    for folder, folders, names in os.walk(project_dir):
        folders[:] = sorted(
            name
            for name in folders
            if name not in ("target", "logs") and name[0] != "."
        )
        for name in sorted(names):
            if (
                name.endswith((".sql", ".yml", ".yaml", ".csv", ".md"))
                and name[0] != "."
            ):
                yield Path(folder, name)


def raw_table(project_dir: Path) -> RawTable:
    """Return the raw table that the project's vars name.

    Raises:
        FinetuneError: There is no readable dbt_project.yml.
    """
    path = project_dir / "dbt_project.yml"
    try:
        names = yaml.safe_load(path.read_bytes())["vars"]
        return RawTable(
            names["raw_schema"],
            names["raw_table"],
            (names["id_column"], names["title_column"], names["content_column"]),
        )
    except OSError as error:
        raise FinetuneError(
            f"{path}: {error.strerror}; say where the project is with --project-dir"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise FinetuneError(
            f"{path}: vars must name raw_schema, raw_table, id_column, title_column "
            "and content_column"
        ) from error
