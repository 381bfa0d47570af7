"""The comparison of two exports: examples and settings that differ."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.diff import compare
from exporter.errors import FinetuneError
from exporter.progress import Step, set_watcher
from tests.checked import finetune
from tests.workspace import json_lines

TITLE_KINDS = ("came", "went", "changed_side", "kept")
KINDS = ("came", "went", "changed_side", "changed_text", "kept")
# A question and a side, by the id of the example.
Examples = Mapping[str, tuple[str, str]]
EXAMPLES = {f"{n:02}": (f"title {n // 3}", "train") for n in range(12)}
COLUMNS = {
    "name": "lamps",
    "id": "n",
    "user": "title",
    "assistant": "text",
    "system": None,
    "split": "side",
}
TEST: dict[str, object] = {"name": "unique", "status": "pass", "failures": 0}


def export(folder: Path, examples: Examples, **changed: object) -> Path:
    """Write a clean file and its manifest, with these keys of it changed."""
    folder.mkdir(exist_ok=True)
    rows = [
        {"n": n, "title": title, "side": side, "text": "same", "tone": None}
        for n, (title, side) in sorted(examples.items())
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    document = {
        "files": {
            "clean.jsonl": facts(content),
            "train.jsonl": facts(b"that of another folder"),
        },
        "git_commit": None,
        "tool": "finetune-exporter",
        "data_set": COLUMNS,
        "system_prompt": "Be kind.",
        "vars": {"least": 10},
        "engine": "postgresql",
        "relation": {"name": "lamps"},
        "created_at": str(folder),
        "funnel": [{"rule": "long", "rows": 9}, {"position": 7}],
        "gate": {"ran": True, "tests": [TEST]},
    }
    (folder / "clean.jsonl").write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(document | changed))
    return folder


def facts(content: bytes) -> dict[str, object]:
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "lines": content.count(b"\n"),
    }


def test_two_exports_of_the_same_rows_are_equal(tmp_path: Path) -> None:
    old, new = (export(tmp_path / name, EXAMPLES) for name in ("old", "new"))
    nothing = dict.fromkeys(KINDS[:4], 0)
    assert compare(old, new) == {
        "equal": True,
        "pairs": {**nothing, "kept": 12, "samples": {kind: [] for kind in KINDS[:4]}},
        "titles": {**dict.fromkeys(TITLE_KINDS, 0), "kept": 4},
        "settings": {},
        "rules": {},
        "tests": {},
    }
    shown = finetune("diff", "old", "new", "--exit-code", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (
        0,
        "### old \u2192 new\n\nNothing changed: 12 pairs.\n",
    )


def test_the_progress_is_in_bytes_of_both_files(tmp_path: Path) -> None:
    old, new = (export(tmp_path / name, EXAMPLES) for name in ("old", "new"))
    size = sum((folder / "clean.jsonl").stat().st_size for folder in (old, new))
    seen: list[tuple[str, int | None, str, list[int]]] = []

    @contextmanager
    def watch(work: Step) -> Iterator[None]:
        before = work.done()
        yield
        seen.append((work.name, work.total, work.unit, [before, work.done()]))

    set_watcher(watch)
    compare(old, new)
    set_watcher(lambda _: nullcontext())
    assert ("comparing", size, "bytes", [0, size]) in seen


CHANGES: dict[str, tuple[dict[str, object], str, dict[str, object]]] = {
    "the prompt": (
        {"system_prompt": None},
        "settings",
        {"system_prompt": {"old": "Be kind.", "new": None}},
    ),
    "the dialect": (
        {"dialect": "nova"},
        "settings",
        {"dialect": {"old": None, "new": "nova"}},
    ),
    "a threshold": (
        {"vars": {"least": 9}},
        "settings",
        {"vars": {"old": {"least": 10}, "new": {"least": 9}}},
    ),
    "the engine": (
        {"engine": "spark"},
        "settings",
        {"engine": {"old": "postgresql", "new": "spark"}},
    ),
    "the relation": (
        {"relation": {"name": "lights"}},
        "settings",
        {"relation": {"old": {"name": "lamps"}, "new": {"name": "lights"}}},
    ),
    "the name of the data set": (
        {"data_set": COLUMNS | {"name": "lights"}},
        "settings",
        {"data_set": {"old": COLUMNS, "new": COLUMNS | {"name": "lights"}}},
    ),
    "a rule": (
        {"funnel": [{"rule": "short", "rows": 9}]},
        "rules",
        {
            "long": {"old": {"rule": "long", "rows": 9}, "new": None},
            "short": {"old": None, "new": {"rule": "short", "rows": 9}},
        },
    ),
    "a test": (
        {"gate": {"ran": True, "tests": [TEST | {"status": "warn"}]}},
        "tests",
        {
            "unique": {
                "old": TEST,
                "new": TEST | {"status": "warn"},
            }
        },
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_setting_is_reported_with_both_values(
    what: str, tmp_path: Path
) -> None:
    changed, part, expected = CHANGES[what]
    found = compare(
        export(tmp_path / "old", EXAMPLES),
        export(tmp_path / "new", EXAMPLES, **changed),
    )
    parts = {"settings": {}, "rules": {}, "tests": {}, part: expected}
    assert {name: found[name] for name in parts} == parts
    assert (found["equal"], found["pairs"]["kept"]) == (False, 12)


some_examples = st.dictionaries(
    st.sampled_from("abcdefghijkl"),
    st.tuples(st.sampled_from("xyz"), st.sampled_from(["train", "validation"])),
)


@given(old=some_examples, new=some_examples)
def test_examples_and_titles_are_counted_as_sets_would(
    old: Examples, new: Examples, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = compare(export(folder / "old", old), export(folder / "new", new))

    def kind(before: object, after: object) -> str:
        if not before or not after:
            return "went" if before else "came"
        return "kept" if before == after else "changed_side"

    def sides(examples: Examples, title: str) -> set[str]:
        return {side for question, side in examples.values() if question == title}

    def of(examples: Examples, key: str) -> str:
        return examples.get(key, ("", ""))[1]

    def kind_of_pair(key: str) -> str:
        found = kind(of(old, key), of(new, key))
        edited = found == "kept" and old[key] != new[key]
        return "changed_text" if edited else found

    kinds = {key: kind_of_pair(key) for key in sorted({*old, *new})}
    pairs = Counter(kinds.values())
    titles = {title for title, _ in (*old.values(), *new.values())}
    judged = Counter(kind(sides(old, title), sides(new, title)) for title in titles)
    samples = found["pairs"].pop("samples")
    assert found["pairs"] == {name: pairs[name] for name in KINDS}
    assert found["titles"] == {name: judged[name] for name in TITLE_KINDS}
    assert found["equal"] == (old == new)
    for name in KINDS[:4]:
        shown = [key for key, its in kinds.items() if its == name][:5]
        assert samples[name] == [
            {"id": key, "question": question, "side": side}
            for key in shown
            for question, side in [{**old, **new}[key]]
        ]


def test_without_a_split_column_all_examples_are_training(tmp_path: Path) -> None:
    data_set = COLUMNS | {"split": None}
    validation = {key: (title, "validation") for key, (title, _) in EXAMPLES.items()}
    found = compare(
        export(tmp_path / "old", EXAMPLES),
        export(tmp_path / "new", validation, data_set=data_set),
    )
    assert found["pairs"]["kept"] == 12


@pytest.mark.parametrize(("key", "column"), [("assistant", "text"), ("system", "tone")])
def test_a_text_that_changed_under_its_id_is_a_change(
    key: str, column: str, tmp_path: Path
) -> None:
    old, new = (export(tmp_path / name, EXAMPLES) for name in ("old", "new"))
    data_set = COLUMNS | {key: column}
    lines = json_lines(new / "clean.jsonl")
    lines[5][column] = "edited"
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    (new / "clean.jsonl").write_bytes(content)
    for folder in (old, new):
        document = json.loads((folder / "manifest.json").read_bytes())
        document |= {"data_set": data_set}
        document["files"]["clean.jsonl"] = facts((folder / "clean.jsonl").read_bytes())
        (folder / "manifest.json").write_text(json.dumps(document))
    found = compare(old, new)
    assert (found["equal"], found["settings"]) == (False, {})
    assert (found["pairs"]["changed_text"], found["pairs"]["kept"]) == (1, 11)
    assert found["pairs"]["samples"]["changed_text"] == [
        {"id": "05", "question": "title 1", "side": "train"}
    ]
    assert found["titles"]["kept"] == 4


def test_differences_are_a_table_in_which_data_are_escaped(tmp_path: Path) -> None:
    export(tmp_path / "old", EXAMPLES | {"13": ("gone", "train")})
    lamp = {"99": ("[Lamp](x)\u202e|\n", "train"), "00": ("title 0", "validation")}
    export(tmp_path / "new", EXAMPLES | lamp, **CHANGES["a test"][0])
    plain = finetune("diff", "old", "new", cwd=tmp_path)
    told = finetune("diff", "old", "new", "--exit-code", cwd=tmp_path)
    assert (plain.returncode, told.returncode) == (0, 1)
    assert plain.stdout == told.stdout == (
        "### old \u2192 new\n\n"
        "| | came | went | changed side | changed text | kept |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| pairs | 1 | 1 | 1 | 0 | 11 |\n"
        "| titles | 1 | 1 | 1 |  | 3 |\n\n"
        "| tests | before | after |\n"
        "| --- | --- | --- |\n"
        "| unique | status pass, failures 0 | status warn, failures 0 |\n\n"
        "Came, such as:\n\n"
        "- \\[Lamp\\]\\(x\\) \\|  (train)\n\n"
        "Went, such as:\n\n"
        "- gone (train)\n\n"
        "Changed side, such as:\n\n"
        "- title 0 (validation)\n"
    )  # fmt: skip
    as_json = finetune("diff", "old", "new", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout) == compare(tmp_path / "old", tmp_path / "new")


def spoilt(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        document = json.loads((folder / "manifest.json").read_bytes())
        change(document)
        (folder / "manifest.json").write_text(json.dumps(document))

    return spoil


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (
        lambda folder: (folder / "manifest.json").unlink(),
        "manifest.json: No such file or directory; run finetune export",
    ),
    "another clean file": (
        lambda folder: (folder / "clean.jsonl").write_text("{}\n"),
        f"clean.jsonl: sha256 {facts(b'{}' + bytes([10]))['sha256']}, but ",
    ),
    "an older manifest": (
        spoilt(lambda document: document.pop("gate")),
        "manifest.json: not a manifest of finetune export; run it again",
    ),
    "a side of another name": (
        spoilt(lambda document: document["data_set"].update(split="title")),
        "clean.jsonl:1: not a line of an export; run finetune export again",
    ),
    "other columns": (
        spoilt(lambda document: document["data_set"].update(user="name")),
        "clean.jsonl:1: not a line of an export; run finetune export again",
    ),
}


@pytest.mark.parametrize("fault", SPOILT)
@pytest.mark.parametrize("side", ["old", "new"])
def test_a_folder_without_a_valid_export_is_an_error_of_one_line(
    fault: str, side: str, tmp_path: Path
) -> None:
    for name in ("old", "new"):
        export(tmp_path / name, EXAMPLES)
    spoil, message = SPOILT[fault]
    spoil(tmp_path / side)
    with pytest.raises(FinetuneError) as caught:
        compare(tmp_path / "old", tmp_path / "new")
    assert str(caught.value).startswith(f"{tmp_path / side}/{message}")
