"""manifest.json: what an export wrote, and whether the files are still that."""

import hashlib
import subprocess
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from exporter import __version__
from exporter.chat import DIALECTS
from exporter.dataset import ROLES
from exporter.errors import FinetuneError
from exporter.files import FileFacts
from exporter.progress import reading, step

if TYPE_CHECKING:
    from exporter.artifacts import Build
    from exporter.funnel import Funnel
    from exporter.gate import TestResult

CLEAN, TRAINING, VALIDATION = "clean.jsonl", "train.jsonl", "valid.jsonl"
MANIFEST = "manifest.json"
NAMES = (CLEAN, TRAINING, VALIDATION, MANIFEST)

_CHUNK_BYTES = 1 << 20


class Manifest(NamedTuple):
    """What an export wrote of which data set; `sha256` is that of manifest.json."""

    sha256: str
    files: dict[str, FileFacts]
    splits: dict[str, dict[str, Any]]
    git_commit: str | None
    tool: str
    dialect: str
    data_set: str


class Problem(NamedTuple):
    """A file that is not the one in the manifest, and why."""

    file: Path
    what: str


def content(
    build: "Build",
    *,
    files: dict[str, FileFacts],
    splits: dict[str, dict[str, Any]],
    dialect: str,
    system_prompt: str | None,
    funnel: "Funnel",
    gate: "list[TestResult] | None",
    moment: dict[str, str],
) -> bytes:
    """Return manifest.json, of the form in manifest.schema.json.

    `gate` is None where no test ran, `moment` what names the snapshot.
    """
    artifacts, data_set = build.artifacts, build.data_set
    declared = {key: getattr(data_set, key) for key in ROLES}
    written = {
        "manifest_version": 1,
        "created_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tool": f"finetune-exporter {__version__}",
        "git_commit": _git_commit(artifacts.project_dir),
        "data_set": {"name": data_set.name, **declared},
        "dialect": dialect,
        "files": {name: facts._asdict() for name, facts in files.items()},
        "splits": splits,
        "system_prompt": system_prompt,
        "engine": artifacts.engine,
        "relation": build.examples._asdict(),
        "dbt": {
            "version": artifacts.manifest["metadata"]["dbt_version"],
            "invocation_id": funnel.invocation_id,
            "built_at": funnel.built_at,
        },
        "vars": funnel.vars,
        "funnel": funnel.rules,
        "gate": {
            "ran": gate is not None,
            "tests": [result._asdict() for result in gate or []],
        },
        **moment,
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(written, default=str, option=options)


def document(folder: Path) -> dict[str, Any]:
    """Return the folder's manifest.json whole.

    Raises:
        FinetuneError: It is missing or not a manifest.
    """
    _, found = _read(folder)
    if not {"data_set", "funnel", "gate"} <= found.keys():
        raise FinetuneError(
            f"{folder / MANIFEST}: written by an older version; run finetune export"
        )
    return found


def read(folder: Path) -> Manifest:
    """Read the folder's manifest.json.

    Raises:
        FinetuneError: It is missing or not a manifest.
    """
    return _read(folder)[0]


def _read(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
        found = orjson.loads(content)
        manifest = Manifest(
            hashlib.sha256(content).hexdigest(),
            {name: _recorded(facts) for name, facts in found["files"].items()},
            found.get("splits", {}),
            found["git_commit"],
            found["tool"],
            _dialect(found.get("dialect", "messages")),
            found.get("data_set", {}).get("name", ""),
        )
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}; run finetune export") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FinetuneError(
            f"{path}: not a manifest of finetune export; run it again"
        ) from error
    return manifest, found


def _recorded(value: dict[str, Any]) -> FileFacts:
    facts = FileFacts(**value)
    if tuple(map(type, facts)) != (str, int, int):
        raise TypeError("not what is recorded of a file")
    return facts


def _dialect(value: str) -> str:
    if value not in DIALECTS:
        raise ValueError(value)
    return value


def problems(folder: Path, *, leave_out: Collection[str] = ()) -> list[Problem]:
    """Return each file that differs from the manifest.

    Raises:
        FinetuneError: The manifest is missing or not one.
    """
    found = []
    for name, facts in read(folder).files.items():
        if name in leave_out:
            continue
        path = folder / name
        try:
            now = _facts(path)
        except OSError as error:
            found.append(Problem(path, f"{error.strerror}, but it is in the manifest"))
            continue
        for fact, is_now, was in zip(facts._fields, now, facts, strict=True):
            if is_now != was:
                found.append(
                    Problem(path, f"{fact} {is_now}, but {was} in the manifest")
                )
                break
    return found


def verify(folder: Path) -> None:
    """Compare the training files with the manifest.

    The clean file takes no part in training and is not read.

    Raises:
        FinetuneError: A file is missing or not as it was written.
    """
    for problem in problems(folder, leave_out=[CLEAN]):
        raise FinetuneError(f"{problem.file}: {problem.what}; run finetune export")


def _facts(path: Path) -> FileFacts:
    digest = hashlib.sha256()
    size = lines = 0
    with path.open("rb", buffering=0) as file, step(reading("hashing", path, file)):
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return FileFacts(digest.hexdigest(), size, lines)


def _git_commit(folder: Path) -> str | None:
    """Return the commit of the project, "+changes" added if it has any."""
    git = ["git", "-C", str(folder)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        changes = subprocess.run(
            [*git, "status", "--porcelain", "."],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+changes" if changes.stdout else "")
