"""Compare two exports: examples that came, went or changed, and changed settings.

Both clean files are sorted by id, so they are merged line by line. Of each different
question (title), only a hash of 64 bits is kept.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from exporter import manifest
from exporter.errors import FinetuneError
from exporter.progress import Step, step

# At most this many examples of each kind are shown.
SAMPLES = 5

_TITLE_KINDS = ("came", "went", "changed_side", "kept")

# The kinds of pairs; the text of a pair can change if its id is not made from it.
KINDS = (*_TITLE_KINDS[:3], "changed_text", "kept")

# Other parts of the manifest that affect the bytes of the files.
_SETTINGS = ("data_set", "system_prompt", "dialect", "vars", "engine", "relation")

# The sides as bits, because a question may be on both.
_BITS = {"train": 1, "validation": 2}


class _Example(NamedTuple):
    """A line of a clean file."""

    id: str
    side: str
    bits: int
    texts: list[str | None]

    @property
    def question(self) -> str | None:
        return self.texts[0]


def compare(old: Path, new: Path) -> dict[str, Any]:
    """Return the differences between the exports in two folders.

    `pairs` and `titles` have the counts `came`, `went`, `changed_side` and `kept`;
    `pairs` also has `changed_text`, and `samples` of all but `kept`. `settings`,
    `rules` and `tests` have each changed entry with its values `old` and `new`. `equal`
    is true if there is no difference.

    Raises:
        FinetuneError: A folder contains no export, or its clean file changed.
    """
    before, after = (
        manifest.read(folder, complete=True).document for folder in (old, new)
    )
    for folder in (old, new):
        manifest.verify(folder, leave_out=(manifest.TRAINING, manifest.VALIDATION))
    clean = manifest.CLEAN
    with (old / clean).open("rb") as old_file, (new / clean).open("rb") as new_file:
        files = (old_file, new_file)
        size = sum(os.fstat(file.fileno()).st_size for file in files)
        work = Step("comparing", size, "bytes", lambda: sum(f.tell() for f in files))
        with step(work):
            found = _compare_examples(
                _examples(old_file, before), _examples(new_file, after)
            )
    old_parts, new_parts = _parts(before), _parts(after)
    changed = {name: _changed(old_parts[name], new_parts[name]) for name in old_parts}
    kept = sum(found["pairs"][kind] for kind in KINDS) == found["pairs"]["kept"]
    equal = kept and not any(changed.values())
    return {"equal": equal, **found, **changed}


def _examples(file: IO[bytes], document: dict[str, Any]) -> Iterator[_Example]:
    columns = document["data_set"]
    names = [columns[key] for key in ("user", "assistant", "system")]
    for number, line in enumerate(file, 1):
        try:
            row = orjson.loads(line)
            side = row[columns["split"]] if columns["split"] else "train"
            texts = [row[name] if name else None for name in names]
            yield _Example(str(row[columns["id"]]), side, _BITS[side], texts)
        except (ValueError, KeyError, TypeError) as error:
            raise FinetuneError(
                f"{file.name}:{number}: not a line of an export; run finetune export "
                "again"
            ) from error


def _compare_examples(
    old: Iterator[_Example], new: Iterator[_Example]
) -> dict[str, dict[str, Any]]:
    """Return the counts of pairs and of titles, with the first pairs of each kind."""
    pairs: Counter[str] = Counter()
    samples: dict[str, list[dict[str, str | None]]] = {k: [] for k in KINDS[:-1]}
    sides: dict[int, int] = {}
    for before, after in _side_by_side(old, new):
        shown = after or before
        kind = _kind(before and before.side, after and after.side)
        if kind == "kept" and before and after and before.texts != after.texts:
            kind = "changed_text"
        pairs[kind] += 1
        if shown and kind != "kept" and len(samples[kind]) < SAMPLES:
            sample = {"id": shown.id, "question": shown.question, "side": shown.side}
            samples[kind].append(sample)
        for example, shift in ((before, 0), (after, 2)):
            if example:
                code = hash(example.question)
                sides[code] = sides.get(code, 0) | example.bits << shift
    titles = Counter(_kind(bits & 3, bits >> 2) for bits in sides.values())
    return {
        "pairs": {**{kind: pairs[kind] for kind in KINDS}, "samples": samples},
        "titles": {kind: titles[kind] for kind in _TITLE_KINDS},
    }


def _kind(old: object, new: object) -> str:
    """Return the kind of change between two sides, of which one may be missing."""
    if not old or not new:
        return "went" if old else "came"
    return "kept" if old == new else "changed_side"


def _side_by_side(
    old: Iterator[_Example], new: Iterator[_Example]
) -> Iterator[tuple[_Example | None, _Example | None]]:
    """Yield the examples of both by id, each with its counterpart or None."""
    before, after = next(old, None), next(new, None)
    while before or after:
        if before and (not after or before.id < after.id):
            yield before, None
            before = next(old, None)
        elif after and (not before or after.id < before.id):
            yield None, after
            after = next(new, None)
        else:
            yield before, after
            before, after = next(old, None), next(new, None)


def _parts(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings, rules and tests of a manifest, each by name."""
    return {
        "settings": {key: document.get(key) for key in _SETTINGS},
        "rules": {str(r["rule"]): r for r in document["funnel"] if "rule" in r},
        "tests": {test["name"]: test for test in document["gate"]["tests"]},
    }


def _changed(
    old: dict[str, Any], new: dict[str, Any]
) -> dict[str, dict[str, dict[str, Any] | Any]]:
    """Return the entries that differ, by name, with their old and new values."""
    return {
        name: {"old": old.get(name), "new": new.get(name)}
        for name in [*old, *(name for name in new if name not in old)]
        if old.get(name) != new.get(name)
    }
