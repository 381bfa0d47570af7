"""Whether the files of an export are still what its manifest says."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from exporter.errors import FinetuneError

_CHUNK_BYTES = 1 << 20


class Problem(NamedTuple):
    """A file that is not the one in the manifest, and why."""

    file: Path
    what: str


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the export in a folder.

    Raises:
        FinetuneError: There is none, or it is not one.
    """
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        for facts in manifest["files"].values():
            facts["sha256"]
    except OSError as error:
        raise FinetuneError(
            f"{path}: {error.strerror}; run finetune export, or name a file"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FinetuneError(f"{path}: not a manifest; run finetune export") from error
    return manifest


def problems(folder: Path) -> list[Problem]:
    """Return what differs between the manifest and the bytes of its files.

    Every file of the manifest is read once: bytes, SHA-256 and lines.

    Raises:
        FinetuneError: There is no manifest.
    """
    found = []
    for name, facts in read_manifest(folder)["files"].items():
        path = folder / name
        try:
            facts_now = _facts(path)
        except OSError as error:
            found.append(Problem(path, f"{error.strerror}, but in the manifest"))
            continue
        for fact, value in facts_now.items():
            if facts.get(fact) != value:
                told = f"{fact} {value}, but {facts.get(fact)} in the manifest"
                found.append(Problem(path, told))
                break
    return found


def _facts(path: Path) -> dict[str, int | str]:
    sha256 = hashlib.sha256()
    size = lines = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
            lines += chunk.count(b"\n")
    return {"bytes": size, "lines": lines, "sha256": sha256.hexdigest()}
