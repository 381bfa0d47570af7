"""Whether what dbt built is what the files of the project say now.

A question of content, never of clocks: a file that is merely newer changes nothing,
and a clock that was wrong hides nothing.
"""

import json
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

from exporter.artifacts import Artifacts, Build, read_build
from exporter.errors import FinetuneError
from exporter.progress import waiting

# Commands of dbt that build what they have results for; the others only compile.
_BUILDS = {"build", "run", "seed", "snapshot", "retry"}

# The statement that builds these holds their compiled SQL word by word.
_VERBATIM = {"view", "table", "materialized_view"}

# One that is there already dbt only refreshes, whatever its SQL is by now (dbt-postgres
# 1.11). The results of the run hold this SQL all the same, the statement does not.
_REFRESHED = "materialized_view"

# Options of the build that decide what is compiled.
_SAME = ("target", "profile")

# What dbt may put in the SQL that differs from run to run: its invocation_id and
# run_started_at.
_OF_THE_RUN = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+(\+\d\d:?\d\d|Z)?"
)

# Where dbt looks unless dbt_project.yml says otherwise (dbt 1.11).
_FOLDERS = {
    "model-paths": ["models"],
    "seed-paths": ["seeds"],
    "test-paths": ["tests"],
    "analysis-paths": ["analyses"],
    "macro-paths": ["macros"],
    "snapshot-paths": ["snapshots"],
}
_SUFFIXES = {".sql", ".yml", ".yaml", ".csv", ".md", ".py"}


def verified(build: Build) -> Build:
    """Return the build with its tests as they compile now.

    What dbt's target folder holds is compared with the files of the project; where
    a file differs from what dbt read last, dbt compiles them anew.

    Raises:
        FinetuneError: Something that has a part in the data set changed since it was
            built, or was not built well.
    """
    faults = [*build.faults()]
    if faults:
        raise FinetuneError(f"{'; '.join(faults[:3])}; run dbt build")
    changed = _changed_files(build.artifacts)
    now = build
    if changed is None or changed or not _is_compiled(build):
        now = _compiled_anew(build)
    differences = [*_differences(build, now)]
    if differences:
        files = f" ({', '.join(changed[:3])})" if changed else ""
        raise FinetuneError(
            f"changed since the build{files}: {', '.join(differences[:3])}; "
            "run dbt build"
        )
    return now


def _changed_files(artifacts: Artifacts) -> list[str] | None:
    """Return the files that are not as dbt read them last, or None to ask dbt.

    dbt keeps the hash of each file in partial_parse.msgpack, of the text without
    white space at either end (1.11; read in its source, November 2026).
    """
    try:
        read = msgpack.unpackb(
            (artifacts.target_path / "partial_parse.msgpack").read_bytes()
        )
        if (
            read["metadata"]["generated_at"]
            > artifacts.manifest["metadata"]["generated_at"]
        ):
            return None  # Of a later command, which left no manifest.
        root = artifacts.manifest["metadata"]["project_name"]
        known: dict[Path, str] = {}
        projects = {root: artifacts.project_dir}
        for file in read["files"].values():
            project, path = file["project_name"], file["path"]
            if project in ("dbt", f"dbt_{artifacts.engine}"):
                continue  # They come with dbt's version.
            installed = artifacts.project_dir / "dbt_packages" / project
            if project not in projects:
                elsewhere = Path(path["project_root"])
                projects[project] = installed if installed.exists() else elsewhere
            name = projects[project] / path["searched_path"] / path["relative_path"]
            known[name] = file["checksum"]["checksum"]
        for project, folder in projects.items():
            configuration = folder / "dbt_project.yml"
            hashes = read["state_check"]["project_hashes"]
            known[configuration] = hashes[project]["checksum"]
        there = {path for folder in projects.values() for path in _files(folder)}
        return sorted(
            str(path)
            for path in there | known.keys()
            if path not in there or _hash(path) != known.get(path)
        )
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None


def _files(project_dir: Path) -> Iterator[Path]:
    """Yield the files that say what dbt builds."""
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


def _hash(path: Path) -> str:
    text = path.read_bytes().decode()
    if path.name != "dbt_project.yml":
        text = text.strip()
    return sha256(text.encode()).hexdigest()


def _compiled_anew(build: Build) -> Build:
    """Return the data set as dbt compiles it now, in a folder of its own."""
    artifacts, arguments = build.artifacts, build.artifacts.results["args"]
    dbt = shutil.which("dbt", path=Path(sys.executable).parent) or shutil.which("dbt")
    if dbt is None:
        raise FinetuneError(
            "dbt is not installed, so nothing can be compared; run dbt build"
        )
    _, package, name = build.data_set.unique_id.split(".")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(dbt, "--quiet", "--no-use-colors", "compile"),
            *("--select", f"+exposure:{package}.{name}"),
            *("--project-dir", str(artifacts.project_dir)),
            *("--target-path", folder, "--log-path", folder),
            *("--vars", json.dumps(arguments.get("vars") or {})),
            *(f"--{key}={arguments[key]}" for key in _SAME if arguments.get(key)),
        ]
        with waiting("dbt, which compiles the project anew"):
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
            )
        if done.returncode:
            said = " ".join((done.stdout or done.stderr).split())
            raise FinetuneError(
                f"dbt cannot compile the project: {said[:300]}; run dbt build"
            )
        manifest = json.loads(Path(folder, "manifest.json").read_bytes())
    return read_build(artifacts._replace(manifest=manifest), name)


def _is_compiled(build: Build) -> bool:
    """Return whether dbt's last command compiled all that the data set needs."""
    return all(
        node.get("compiled_code")
        for node in map(build.artifacts.node, build.unique_ids)
        if node["resource_type"] in ("model", "test")
    )


def _differences(build: Build, now: Build) -> Iterator[str]:
    """Yield what is not as it was built, by its name."""
    if now is not build:
        if now.data_set != build.data_set:
            yield f"the data set {now.data_set.name} ({now.data_set.path})"
        yield from _declared_otherwise(build, now)
    executed = _executed(build.artifacts)
    for unique_id in sorted(now.unique_ids):
        node = now.artifacts.node(unique_id)
        kind = node["config"].get("materialized")
        if node["resource_type"] != "model" or kind not in _VERBATIM:
            continue
        ran = None if kind == _REFRESHED else executed.get(unique_id)
        if not _was_built_as(build.artifacts, ran, node):
            advice = ", which needs the config full_refresh: true"
            yield f"model {node['name']}{advice if kind == _REFRESHED else ''}"


def _declared_otherwise(build: Build, now: Build) -> Iterator[str]:
    """Yield what the manifest of the build has otherwise, but for views and tables.

    An incremental model, too, which a build does not make anew.
    """
    before, after = (
        {
            unique_id: (node["config"], node["checksum"], node["raw_code"])
            for unique_id in of.unique_ids
            if (node := of.artifacts.node(unique_id))["resource_type"] != "source"
            and node["config"].get("materialized") not in _VERBATIM
        }
        for of in (build, now)
    )
    for unique_id in sorted(before.keys() | after.keys()):
        if before.get(unique_id) != after.get(unique_id):
            kind, _, name, *_ = unique_id.split(".")
            yield f"{kind} {name}"


def _executed(artifacts: Artifacts) -> dict[str, str]:
    """Return the SQL by unique id that dbt's last run built with, if it did build."""
    if artifacts.results["args"].get("which") not in _BUILDS:
        return {}
    return {
        result["unique_id"]: result["compiled_code"]
        for result in artifacts.results["results"]
        if result.get("compiled_code")
    }


def _was_built_as(
    artifacts: Artifacts, executed: str | None, node: dict[str, Any]
) -> bool:
    """Return whether the last statement that built a model holds its SQL of now.

    It stands in the results of the run, or in the file that dbt writes for it.
    """
    wanted = _without_run(node["compiled_code"])
    if executed:
        return _without_run(executed) == wanted
    path = Path("run", node["package_name"], node["original_file_path"])
    try:
        # As bytes, so that a carriage return stays one.
        statement = (artifacts.target_path / path).read_bytes().decode()
    except OSError:
        return False
    return wanted in _without_run(statement)


def _without_run(sql: str) -> str:
    return _OF_THE_RUN.sub("", sql).strip()
