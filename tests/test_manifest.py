"""manifest.json records what was written, and detects each changed file."""

import hashlib
import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from exporter import __version__, gate, manifest
from exporter.artifacts import Artifacts, Build
from exporter.dataset import DataSet
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from exporter.files import FileFacts
from exporter.funnel import Funnel
from tests.workspace import REPOSITORY

SCHEMA = json.loads((REPOSITORY / "exporter/manifest.schema.json").read_bytes())
TEXT = b"a\nb\n"
SHA256 = hashlib.sha256(TEXT).hexdigest()
FACTS = FileFacts(SHA256, 4, 2)
SPLITS = {
    "train": {"titles": 1, "pairs": 2, "characters": 30},
    "validation": {"titles": 0, "pairs": 0, "characters": 0},
}
SNAPSHOT = {
    "snapshot": "1:2:",
    "snapshot_at": "2026-11-26T00:00:00+00:00",
    "server_version": "18.1",
}
# A date and a set, which YAML has and JSON has not.
VARS = {"n": 10, "from": date(2026, 1, 1), "of": {1}}
RULE = {
    "rule": "title_repeated",
    "rows_before": 3,
    "rows_dropped": 1,
    "rows_after": 2,
    "titles_before": 2,
    "titles_dropped": 1,
    "titles_after": 1,
}


def written(folder: Path, tests: list[gate.TestResult] | None) -> dict[str, Any]:
    """Return the manifest of an export of a small project."""
    build = Build(
        Artifacts(
            folder,
            folder / "target",
            {"metadata": {"adapter_type": "postgres", "dbt_version": "1.11.0"}},
            {},
        ),
        DataSet(
            "exposure.shop.lamps",
            "lamps.yml",
            "model.shop.pairs",
            id="pair_id",
            user="title",
            assistant="description",
            system=None,
            system_prompt=None,
            split="split",
            funnel=None,
            outcomes=None,
        ),
        Relation("shop", "finetune", "pairs"),
        funnel=None,
        outcomes=None,
        tests=[],
        reads=[],
    )
    content = manifest.content(
        build,
        files=dict.fromkeys(("clean.jsonl", "train.jsonl"), FACTS),
        splits=SPLITS,
        dialect="messages",
        system_prompt="Write.",
        funnel=Funnel([RULE], "2026-11-25", "0-1", VARS),
        gate=tests,
        snapshot=SNAPSHOT,
    )
    assert content.startswith(b'{\n  "manifest_version": 1,')
    assert content.endswith(b"\n}\n")
    found: dict[str, Any] = json.loads(content)
    jsonschema.validate(found, SCHEMA)
    return found


def test_the_manifest_records_what_was_written_from_which_build(tmp_path: Path) -> None:
    found = written(tmp_path, [gate.TestResult("unique", "warn", 3)])
    assert found.pop("created_at").endswith("+00:00")
    assert found == {
        "manifest_version": 1,
        "tool": f"finetune-exporter {__version__}",
        "git_commit": None,
        "data_set": {
            "name": "lamps",
            "id": "pair_id",
            "user": "title",
            "assistant": "description",
            "system": None,
            "split": "split",
        },
        "dialect": "messages",
        "files": dict.fromkeys(("clean.jsonl", "train.jsonl"), FACTS._asdict()),
        "splits": SPLITS,
        "system_prompt": "Write.",
        "engine": "postgres",
        "relation": {"database": "shop", "schema": "finetune", "name": "pairs"},
        "dbt": {"version": "1.11.0", "invocation_id": "0-1", "built_at": "2026-11-25"},
        "vars": {"n": 10, "from": "2026-01-01", "of": "{1}"},
        "funnel": [RULE],
        "gate": {
            "ran": True,
            "tests": [{"name": "unique", "status": "warn", "failures": 3}],
        },
        **SNAPSHOT,
    }
    assert written(tmp_path, None)["gate"] == {"ran": False, "tests": []}
    assert written(tmp_path, [])["gate"] == {"ran": True, "tests": []}


def test_the_commit_is_that_of_the_project_with_a_mark_for_changes_in_it(
    tmp_path: Path,
) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    project = tmp_path / "dbt_project"
    project.mkdir()
    git("init", "--quiet")
    (project / "model.sql").write_text("select 1")
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    (tmp_path / "beside").write_text("no part of the project")
    commit = git("rev-parse", "HEAD")
    assert written(project, None)["git_commit"] == commit
    (project / "model.sql").write_text("select 2")
    assert written(project, None)["git_commit"] == f"{commit}+changes"


def test_without_git_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert written(tmp_path, None)["git_commit"] is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files and their manifest, in the form of the first version."""
    facts = {}
    for name in ("train.jsonl", "valid.jsonl"):
        (tmp_path / name).write_bytes(TEXT)
        facts[name] = FACTS._asdict()
    keys = ("name", "id", "user", "assistant", "system", "split")
    document = {
        "files": facts,
        "data_set": dict.fromkeys(keys, "x"),
        "funnel": [],
        "gate": {"ran": False, "tests": []},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    return tmp_path


def test_a_changed_file_is_reported_with_its_first_difference(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_CHUNK_BYTES", 3)  # Smaller than the files.
    train, valid = folder / "train.jsonl", folder / "valid.jsonl"
    assert manifest.problems(folder) == []
    manifest.verify(folder)
    train.unlink()
    valid.write_bytes(b"a b\n")
    changed = hashlib.sha256(b"a b\n").hexdigest()
    problems = [
        (train, "No such file or directory, but it is in the manifest"),
        (valid, f"sha256 {changed}, but {SHA256} in the manifest"),
    ]
    assert manifest.problems(folder) == problems
    without = manifest.problems(folder, leave_out=["train.jsonl"])
    assert without == problems[1:]
    with pytest.raises(FinetuneError) as refused:
        manifest.verify(folder)
    assert str(refused.value) == f"{train}: {problems[0][1]}; run finetune export"
    manifest.verify(folder, leave_out=["train.jsonl", "valid.jsonl"])


@pytest.mark.parametrize("fact", ["bytes", "lines"])
def test_a_wrong_count_in_the_manifest_is_reported(folder: Path, fact: str) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_bytes())
    document["files"]["train.jsonl"][fact] = 9
    path.write_text(json.dumps(document))
    now = getattr(FACTS, fact)
    [problem] = manifest.problems(folder)
    assert problem.what == f"{fact} {now}, but 9 in the manifest"


def test_a_manifest_is_read_with_the_hash_of_its_bytes(folder: Path) -> None:
    path = folder / "manifest.json"
    content = path.read_bytes()
    document = json.loads(content)
    assert manifest.read(folder) == (
        hashlib.sha256(content).hexdigest(),
        dict.fromkeys(("train.jsonl", "valid.jsonl"), FACTS),
        "messages",  # The only dialect before manifests named it.
        document,
    )
    assert manifest.read(folder, complete=True).document == document
    path.write_text(json.dumps(document | {"dialect": "nova"}))
    assert manifest.read(folder).dialect == "nova"


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"files": []}',
        '{"files": {"train.jsonl": {"sha256": "0", "bytes": 1}}}',
        '{"files": {"train.jsonl": {"sha256": "0", "bytes": "1", "lines": 1}}}',
        '{"files": {}, "dialect": "klingon"}',
    ],
)
def test_a_file_that_is_not_a_manifest_is_an_error_of_one_line(
    folder: Path, content: str
) -> None:
    path = folder / "manifest.json"
    path.write_text(content)
    for read in manifest.read, manifest.problems:
        with pytest.raises(FinetuneError) as refused:
            read(folder)
        assert str(refused.value) == (
            f"{path}: not a manifest of finetune export; run it again"
        )


@pytest.mark.parametrize("key", ["data_set", "funnel", "gate"])
def test_a_manifest_with_only_files_is_not_complete(folder: Path, key: str) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_bytes())
    del document[key]
    path.write_text(json.dumps(document))
    assert manifest.read(folder).document == document
    with pytest.raises(FinetuneError) as refused:
        manifest.read(folder, complete=True)
    assert str(refused.value) == (
        f"{path}: not a manifest of finetune export; run it again"
    )


@pytest.mark.parametrize(
    "part",
    [
        {"vars": None},
        {"git_commit": 7},
        {"data_set": {"name": "lamps"}},
        {"funnel": [7]},
        {"gate": {"ran": True, "tests": [{"name": "unique"}]}},
        {"splits": {"train": {"pairs": 1}}},
    ],
)
def test_a_part_of_another_version_is_an_error_of_what_shows_it(
    folder: Path, part: dict[str, object]
) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | part))
    manifest.read(folder)
    with pytest.raises(FinetuneError) as refused:
        manifest.read(folder, complete=True)
    assert str(refused.value) == (
        f"{path}: not a manifest of finetune export; run it again"
    )


def test_without_a_manifest_the_error_names_the_command(folder: Path) -> None:
    path = folder / "manifest.json"
    path.unlink()
    with pytest.raises(FinetuneError) as refused:
        manifest.read(folder)
    assert str(refused.value) == (
        f"{path}: No such file or directory; run finetune export"
    )


def test_without_a_manifest_the_exports_of_several_data_sets_are_named(
    tmp_path: Path,
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text("dbt's")
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clean.jsonl").touch()
    with pytest.raises(FinetuneError) as caught:
        manifest.read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/manifest.json: No such file or directory; name one of the exports "
        f"{tmp_path}/a, {tmp_path}/b"
    )
