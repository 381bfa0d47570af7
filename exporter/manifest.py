"""manifest.json: what an export wrote, and whether its files are still the same."""

import hashlib
import subprocess
from collections.abc import Collection
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import msgspec
import orjson

from exporter import __version__
from exporter.chat import DIALECTS
from exporter.dataset import COLUMN_KEYS
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

# The parts that a report or a diff shows.
_SHOWN = {"data_set", "funnel", "gate"}

_CHUNK_BYTES = 1 << 20


class _Facts(TypedDict):
    sha256: str
    bytes: int
    lines: int


class _DataSet(TypedDict):
    name: str
    id: str
    user: str
    assistant: str
    system: str | None
    split: str | None


class _Tokens(TypedDict):
    encoding: str
    exact: bool
    total: int
    longest: int
    system_prompt: int


class _Sizes(TypedDict):
    titles: int
    pairs: int
    characters: int


class _Split(_Sizes, total=False):
    tokens: _Tokens


class _Splits(TypedDict):
    train: _Split
    validation: _Split


class _Run(TypedDict):
    version: str
    invocation_id: str
    built_at: str


class _Test(TypedDict):
    name: str
    status: str
    failures: int


class _Gate(TypedDict):
    ran: bool
    tests: list[_Test]


class _Files(TypedDict):
    """What every command reads in a manifest.json."""

    files: dict[str, _Facts]


class _Document(_Files, total=False):
    """What a report or a diff reads in it. The whole form is manifest.schema.json."""

    created_at: str
    tool: str
    git_commit: str | None
    data_set: _DataSet
    dialect: str
    splits: _Splits
    system_prompt: str | None
    engine: str
    relation: dict[str, str | None]
    dbt: _Run
    vars: dict[str, Any]
    funnel: list[dict[str, Any]]
    gate: _Gate
    snapshot: str
    snapshot_at: str
    server_version: str


# A report needs all of these keys.
KEYS = _Document.__required_keys__ | _Document.__optional_keys__


class Manifest(NamedTuple):
    """The document of a manifest.json, and its most used parts.

    `sha256` is the hash of manifest.json itself.
    """

    sha256: str
    files: dict[str, FileFacts]
    dialect: str
    document: dict[str, Any]


class Problem(NamedTuple):
    """A file that differs from the manifest, and the difference."""

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
    snapshot: dict[str, str],
) -> bytes:
    """Return the text of manifest.json, whose form is manifest.schema.json.

    `gate` is None if no test ran; `snapshot` is the metadata of the snapshot.
    """
    artifacts, data_set = build.artifacts, build.data_set
    declared = {key: getattr(data_set, key) for key in COLUMN_KEYS}
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
        **snapshot,
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(written, default=str, option=options)


def read(folder: Path, *, complete: bool = False) -> Manifest:
    """Read the folder's manifest.json.

    To upload files, their facts are enough; with `complete` it must also have the parts
    that a report or a diff shows.

    Raises:
        FinetuneError: It is missing or not a manifest.
    """
    path = folder / MANIFEST
    wrong = FinetuneError(f"{path}: not a manifest of finetune export; run it again")
    try:
        content = path.read_bytes()
        document = orjson.loads(content)
        msgspec.convert(document, _Document if complete else _Files)
        files = {name: FileFacts(**facts) for name, facts in document["files"].items()}
        dialect = document.get("dialect", "messages")
        if dialect not in DIALECTS or (complete and _SHOWN - document.keys()):
            raise wrong
    except OSError as error:
        # The exports of several data sets; a manifest.json alone may be dbt's.
        there = sorted(str(clean.parent) for clean in folder.glob(f"*/{CLEAN}"))
        fix = (
            f"name one of the exports {', '.join(there)}"
            if there
            else "run finetune export"
        )
        raise FinetuneError(f"{path}: {error.strerror}; {fix}") from error
    except (ValueError, TypeError) as error:
        raise wrong from error
    return Manifest(hashlib.sha256(content).hexdigest(), files, dialect, document)


def problems(folder: Path, *, leave_out: Collection[str] = ()) -> list[Problem]:
    """Return each file that differs from the manifest, unless it is in `leave_out`.

    Raises:
        FinetuneError: manifest.json is missing or not a manifest.
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
                what = f"{fact} {is_now}, but {was} in the manifest"
                found.append(Problem(path, what))
                break
    return found


def verify(folder: Path, *, leave_out: Collection[str] = ()) -> None:
    """Refuse files that differ from the manifest, unless they are in `leave_out`.

    Raises:
        FinetuneError: A file is missing or changed.
    """
    for problem in problems(folder, leave_out=leave_out):
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
    """Return the commit of the project, with "+changes" if it has uncommitted ones."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changes = "+changes" if git("status", "--porcelain", ".") else ""
        return git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.CalledProcessError):
        return None
