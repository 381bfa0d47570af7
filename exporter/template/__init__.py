"""The project folder that `finetune init` writes, ready to build and export.

Files that the repository has at its root are not copied into this folder: a clone
reads them there, and the build of the wheel puts them here (pyproject.toml).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from exporter.errors import FinetuneError

_HERE = Path(__file__).parent

# Each file or folder that is written, and the one that it is copied from.
_SOURCES = {
    ".github/workflows/data-quality.yml": "data-quality.yml",
    ".gitignore": "gitignore",
    "Makefile": "Makefile",
    "dbt_project": "dbt_project",
    "examples/products.csv": "examples/products.csv",
    "profiles.yml": "profiles.yml.example",
}

# While this file exists, the files beside it come from an unfinished `finetune init`.
_MARKER = ".finetune-init.part"


def write(folder: Path) -> list[Path]:
    """Write the project into the folder, create that if needed, and return the paths.

    No existing file changes, and nothing is written through a link. An error leaves
    nothing behind. What a killed call has written is completed.

    Raises:
        FinetuneError: A file exists already, or the folder cannot be written.
    """
    files = {folder / name: source for name, source in _files()}
    marker = folder / _MARKER
    resumed = marker.is_file()
    # Only a call that found no conflict creates the marker, so the user has not
    # written these files.
    unfinished = {
        path for path, source in files.items() if resumed and _begins(path, source)
    }
    others = files.keys() - unfinished
    found = sorted({path for file in others for path in _conflicts(file, folder)})
    if found:
        raise FinetuneError(
            f"{', '.join(map(str, found[:3]))}{', ...' if found[3:] else ''} exists "
            "already, nothing was written; choose another folder: finetune init DIR"
        )
    created: list[Path] = []
    try:
        _create_folders(folder, created)
        if not resumed:
            marker.open("xb").close()
            created.append(marker)
        for path, source in files.items():
            _create_folders(path.parent, created)
            if path in unfinished:
                path.unlink()
            with path.open("xb") as file:
                created.append(path)
                file.write(source.read_bytes())
        marker.unlink()
    except BaseException as error:
        for path in reversed(created):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise FinetuneError(
                f"{error.filename or folder}: {error.strerror}; nothing was written; "
                "choose another folder: finetune init DIR"
            ) from error
        raise
    return [folder / name for name in _SOURCES]


def _begins(path: Path, source: Path) -> bool:
    """Return whether the file contains the beginning of its source, or all of it."""
    return (
        path.is_file()
        and not path.is_symlink()
        and source.read_bytes().startswith(path.read_bytes())
    )


def _files() -> Iterator[tuple[str, Path]]:
    """Yield the name and the source of each file, except the output of dbt."""
    for name, origin in _SOURCES.items():
        candidates = [_HERE / origin, _HERE.parents[1] / origin]
        source = next(path for path in candidates if path.exists())
        if source.is_file():
            yield name, source
        for folder, folders, names in os.walk(source):
            folders[:] = sorted({*folders} - {"target", "logs", "dbt_packages"})
            for path in (Path(folder, file) for file in sorted(names)):
                if path.name != ".user.yml":
                    yield str(Path(name, path.relative_to(source))), path


def _conflicts(file: Path, folder: Path) -> Iterator[Path]:
    """Yield the file if it exists, and each of its folders that is none, or a link."""
    if os.path.lexists(file):
        yield file
    for parent in file.parents:
        if parent == folder:
            return
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            yield parent


def _create_folders(folder: Path, created: list[Path]) -> None:
    """Create the folder and its parents, and add the new ones to `created`."""
    if not folder.is_dir():
        _create_folders(folder.parent, created)
        folder.mkdir()
        created.append(folder)
