"""Whether the last build of dbt was made from the files of the project as they are now.

Contents are compared, never times: a file that is only newer is not a change, and a
wrong clock hides none.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgpack
import yaml

from exporter import dataset
from exporter.artifacts import Artifacts, Build, read_build
from exporter.errors import FinetuneError
from exporter.progress import waiting

# Statuses in dbt's run_results.json (v6) of a node that was not built, or whose test
# failed.
_BAD_STATUSES = {"error", "fail", "skipped", "runtime error", "partial success"}

# dbt's commands that build the nodes in their results; the others only compile them.
_BUILD_COMMANDS = {"build", "run", "seed", "snapshot", "retry"}

# The statement that builds these materializations contains their compiled SQL as it is.
_BUILT_FROM_SQL = {"view", "table", "materialized_view", "function"}

# Values that differ from run to run, if the SQL has dbt's invocation_id or
# run_started_at in it.
_RUN_VALUES = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+(\+\d\d:?\d\d|Z)?"
)

# The folders that dbt reads by default (dbt 1.11).
_FOLDERS = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "test-paths": ["tests"],
    "analysis-paths": ["analyses"],
    "macro-paths": ["macros"],
    "snapshot-paths": ["snapshots"],
    "function-paths": ["functions"],
}
_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}


def require_fresh(build: Build) -> Build:
    """Return the build with its tests as they compile now.

    If a file of the project differs from the one that dbt read last, or the schema may
    be another one, dbt compiles the project again, into a temporary folder.

    Raises:
        FinetuneError: A part of the data set failed in dbt's last run, or changed since
            it was built.
    """
    failures = [*_failures(build)]
    if failures:
        raise FinetuneError(f"{'; '.join(failures[:3])}; run dbt build")
    files = _changed_files(build.artifacts)
    now = build
    if files != [] or _may_have_moved(build) or not _is_compiled(build):
        now = _recompiled(build)
    changes = [*_changes(build, now)]
    if changes:
        where = f" ({', '.join(files[:3])})" if files else ""
        raise FinetuneError(
            f"changed since the build{where}: {', '.join(changes[:3])}; run dbt build"
        )
    return now


def _failures(build: Build) -> Iterator[str]:
    """Yield what failed in dbt's last run, and what made it build other rows."""
    needed = build.unique_ids
    for result in build.artifacts.results["results"]:
        if result["unique_id"] in needed and result["status"] in _BAD_STATUSES:
            name = result["unique_id"].split(".")[2]
            yield f"{name}: {result['status']} in dbt's last run"
    for option in ("empty", "sample"):
        if build.artifacts.results["args"].get(option):
            yield f"dbt's last run had the option --{option}, which leaves rows out"


def _may_have_moved(build: Build) -> bool:
    """Return whether DBT_SCHEMA is set, but none of the models is in that schema."""
    wanted = os.environ.get("DBT_SCHEMA")
    nodes = map(build.artifacts.node, build.unique_ids)
    return bool(wanted) and wanted not in {node.get("schema") for node in nodes}


def _changed_files(artifacts: Artifacts) -> list[str] | None:
    """Return the files that changed since dbt read them, or None if that is unknown.

    dbt keeps a hash of each file in partial_parse.msgpack: of the text without white
    space at either end (1.11; read in its source, November 2026).
    """
    try:
        read = msgpack.unpackb(
            (artifacts.target_path / "partial_parse.msgpack").read_bytes()
        )
        if (
            read["metadata"]["generated_at"]
            > artifacts.manifest["metadata"]["generated_at"]
        ):
            return None  # Written by a later command, which wrote no manifest.
        root = artifacts.manifest["metadata"]["project_name"]
        known: dict[Path, str] = {}
        projects = {root: artifacts.project_dir}
        for file in read["files"].values():
            project, path = file["project_name"], file["path"]
            if project in ("dbt", f"dbt_{artifacts.engine}"):
                continue  # Part of dbt itself.
            installed = artifacts.project_dir / "dbt_packages" / project
            if project not in projects:
                elsewhere = Path(path["project_root"])
                projects[project] = installed if installed.exists() else elsewhere
            name = projects[project] / path["searched_path"] / path["relative_path"]
            known[name] = file["checksum"]["checksum"]
        for project, folder in projects.items():
            hashes = read["state_check"]["project_hashes"]
            known[folder / "dbt_project.yml"] = hashes[project]["checksum"]
        there = {path for folder in projects.values() for path in _files(folder)}
        return sorted(
            str(path)
            for path in there | known.keys()
            if path not in there or _checksum(path) != known.get(path)
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None


def _files(project_dir: Path) -> Iterator[Path]:
    """Yield the files that dbt reads."""
    configuration = project_dir / "dbt_project.yml"
    settings = yaml.safe_load(configuration.read_bytes())
    yield configuration
    folders = {
        folder
        for key, default in _FOLDERS.items()
        for folder in settings.get(key, default)
    }
    for folder in folders:
        for path in (project_dir / folder).rglob("*"):
            if path.suffix in _SUFFIXES and path.is_file():
                yield path


def _checksum(path: Path) -> str:
    text = path.read_bytes().decode()
    if path.name != "dbt_project.yml":
        text = text.strip()
    return sha256(text.encode()).hexdigest()


def _is_compiled(build: Build) -> bool:
    """Return whether dbt's last command compiled all nodes of the data set."""
    return all(
        node.get("compiled_code")
        for node in map(build.artifacts.node, build.unique_ids)
        if node["resource_type"] in ("model", "test", "function")
    )


def _recompiled(build: Build) -> Build:
    """Return the data set as dbt compiles it now, in a temporary folder."""
    artifacts, arguments = build.artifacts, build.artifacts.results["args"]
    dbt = shutil.which("dbt", path=Path(sys.executable).parent) or shutil.which("dbt")
    if dbt is None:
        raise FinetuneError(
            "dbt is not installed, so nothing can be compared; run dbt build"
        )
    exposure = build.data_set.unique_id
    same = [f"--{k}={v}" for k in ("target", "profile") if (v := arguments.get(k))]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(dbt, "--quiet", "--no-use-colors", "compile"),
            *("--select", f"+{exposure.replace('.', ':', 1)}"),
            *("--project-dir", str(artifacts.project_dir)),
            *("--target-path", folder, "--log-path", folder),
            *("--vars", json.dumps(arguments.get("vars") or {}), *same),
        ]
        with waiting("dbt to compile the project again"):
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
        if done.returncode:
            raise FinetuneError(
                f"dbt cannot compile the project: "
                f"{_error_message(done.stdout or done.stderr)}; run dbt build"
            )
        manifest = json.loads(Path(folder, "manifest.json").read_bytes())
    for name, declared in dataset.declared(manifest).items():
        if declared["unique_id"] == exposure:
            return read_build(artifacts._replace(manifest=manifest), name)
    raise FinetuneError(
        f"changed since the build: the data set {build.data_set.name} is gone; "
        "run dbt build"
    )


def _error_message(output: str) -> str:
    """Return dbt's error on one line, without its usage text and time."""
    message = output.rpartition("\nError: ")[2]
    words = re.sub(r"\d\d:\d\d:\d\d  (Encountered an error:)?", "", message).split()
    return " ".join(words)[:300].rstrip(".")


def _changes(build: Build, now: Build) -> Iterator[str]:
    """Yield the name of each part of the data set that changed since it was built."""
    if now.data_set != build.data_set:
        yield f"the data set {now.data_set.name} ({now.data_set.path})"
    if now.examples != build.examples:
        yield f"{build.examples}, which dbt now builds as {now.examples}"
        return
    yield from _changed_nodes(build, now)
    artifacts = build.artifacts
    built_sql: dict[str, str | None] = {}
    if artifacts.results["args"].get("which") in _BUILD_COMMANDS:
        built_sql = {
            result["unique_id"]: result.get("compiled_code")
            for result in artifacts.results["results"]
        }
    for unique_id in sorted(now.unique_ids):
        node = now.artifacts.node(unique_id)
        kind = node["config"].get("materialized")
        if kind not in _BUILT_FROM_SQL:
            continue
        sql = _without_run_values(node["compiled_code"])
        built, advice = built_sql.get(unique_id), ""
        if kind == "materialized_view":
            # dbt-postgres 1.11 only refreshes one that exists, whatever its SQL is now.
            # The results have the new SQL all the same, the statement does not.
            built, advice = None, ", which needs the config full_refresh: true"
        if built:
            is_same = _without_run_values(built) == sql
        else:
            is_same = sql in _without_run_values(_statement(artifacts, node))
        if not is_same:
            yield f"{node['resource_type']} {node['name']}{advice}"


def _changed_nodes(build: Build, now: Build) -> Iterator[str]:
    """Yield the nodes whose manifest entry changed, except views and tables."""
    before, after = (
        {
            unique_id: (node["config"], node["checksum"], node["raw_code"])
            for unique_id in each.unique_ids
            if (node := each.artifacts.node(unique_id))["resource_type"] != "source"
            and node["config"].get("materialized") not in _BUILT_FROM_SQL
        }
        for each in (build, now)
    )
    for unique_id in sorted(before.keys() | after.keys()):
        if before.get(unique_id) != after.get(unique_id):
            kind, _, name, *_ = unique_id.split(".")
            yield f"{kind} {name}"


def _statement(artifacts: Artifacts, node: dict[str, Any]) -> str:
    """Return the last statement that built a model, or "" if dbt kept none."""
    path = Path("run", node["package_name"], node["original_file_path"])
    try:
        # Read as bytes, because text mode would change a carriage return.
        return (artifacts.target_path / path).read_bytes().decode()
    except OSError:
        return ""


def _without_run_values(sql: str) -> str:
    return _RUN_VALUES.sub("", sql).strip()
