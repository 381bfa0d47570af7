"""What `finetune init` writes: a folder of one's own that builds and exports.

What this repository has itself is not copied here: in a clone it is read where it
stands, and the wheel is built with it in this folder (pyproject.toml).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from exporter.errors import FinetuneError

_HERE = Path(__file__).parent

# What is written, and the file or folder that it comes from.
_ENTRIES = {
    ".github/workflows/data-quality.yml": "data-quality.yml",
    ".gitignore": "gitignore",
    "Makefile": "Makefile",
    "dbt_project": "dbt_project",
    "examples/products.csv": "examples/products.csv",
    "profiles.yml": "profiles.yml.example",
}

# While it is there, what an `init` that was killed has written is its own.
_MARK = ".finetune-init.part"


def write(folder: Path) -> list[Path]:
    """Write all of it into the folder, made if missing; return what lies there.

    Nothing that exists is touched, and nothing is written through a link; after
    an error nothing of it is left. What a killed call left is completed.

    Raises:
        FinetuneError: A file exists already, or the folder cannot be written.
    """
    files = {folder / name: source for name, source in _files()}
    mark = folder / _MARK
    begun = {
        file
        for file, source in files.items()
        if mark.is_file() and _is_begun(file, source)
    }
    others = files.keys() - begun
    taken = sorted({path for file in others for path in _in_the_way(file, folder)})
    if taken:
        raise FinetuneError(
            f"{', '.join(map(str, taken[:3]))}{', ...' if taken[3:] else ''} exists "
            "already, nothing was written; choose another folder: finetune init DIR"
        )
    made: list[Path] = []
    try:
        _make_folders(folder, made)
        if not mark.is_file():
            mark.open("xb").close()
            made.append(mark)
        for path, source in files.items():
            _make_folders(path.parent, made)
            if path in begun:
                path.unlink()
            with path.open("xb") as file:
                made.append(path)
                file.write(source.read_bytes())
        mark.unlink()
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise FinetuneError(
                f"{error.filename or folder}: {error.strerror}; nothing was written; "
                "choose another folder: finetune init DIR"
            ) from error
        raise
    return [folder / name for name in _ENTRIES]


def _is_begun(path: Path, source: Path) -> bool:
    """Say whether the file holds the beginning of our text, or all of it."""
    return (
        path.is_file()
        and not path.is_symlink()
        and source.read_bytes().startswith(path.read_bytes())
    )


def _files() -> Iterator[tuple[str, Path]]:
    """Yield each file's name and where its text is, without what dbt left."""
    for name, origin in _ENTRIES.items():
        places = [place / origin for place in (_HERE, _HERE.parents[1])]
        source = next(place for place in places if place.exists())
        if source.is_file():
            yield name, source
        for folder, folders, names in os.walk(source):
            folders[:] = sorted({*folders} - {"target", "logs", "dbt_packages"})
            for path in (Path(folder, file) for file in sorted(names)):
                if path.name != ".user.yml":
                    yield str(Path(name, path.relative_to(source))), path


def _in_the_way(file: Path, folder: Path) -> Iterator[Path]:
    """Yield the file if it exists, and what stands where its folders must be."""
    if os.path.lexists(file):
        yield file
    for parent in file.parents:
        if parent == folder:
            return
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            yield parent


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Make the folder and those above it, and note each that is new."""
    if not folder.is_dir():
        _make_folders(folder.parent, made)
        folder.mkdir()
        made.append(folder)
