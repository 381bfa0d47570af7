"""The exported files as manifest.json describes them, and whether they still do."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from exporter.errors import FinetuneError
from exporter.files import FileFacts

CLEAN, TRAINING, VALIDATION = "clean.jsonl", "train.jsonl", "valid.jsonl"

_CHUNK_BYTES = 1 << 20


class Manifest(NamedTuple):
    """What an export wrote; `sha256` is that of manifest.json itself."""

    sha256: str
    files: dict[str, FileFacts]
    splits: dict[str, dict[str, Any]]
    git_commit: str | None
    tool: str


class Problem(NamedTuple):
    """A file that is not the one in the manifest, and why."""

    file: Path
    what: str


def read(folder: Path) -> Manifest:
    """Read the folder's manifest.json.

    Raises:
        FinetuneError: It is missing or not a manifest.
    """
    path = folder / "manifest.json"
    try:
        content = path.read_bytes()
        document = orjson.loads(content)
        return Manifest(
            hashlib.sha256(content).hexdigest(),
            {name: FileFacts(**facts) for name, facts in document["files"].items()},
            document.get("splits", {}),
            document["git_commit"],
            document["tool"],
        )
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}; run finetune export") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FinetuneError(
            f"{path}: not a manifest of finetune export; run it again"
        ) from error


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
            found.append(Problem(path, f"{error.strerror}, but in the manifest"))
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
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return FileFacts(digest.hexdigest(), size, lines)
