"""Two exports compared: what came, went, changed side, and what decided it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Workspace, json_lines


def diff(workspace: Workspace, *arguments: str) -> tuple[int, str, str]:
    done = workspace.finetune("diff", *arguments)
    return done.returncode, done.stdout, done.stderr


def as_json(workspace: Workspace, old: str, new: str) -> dict[str, Any]:
    code, out, talk = diff(workspace, old, new, "--json")
    assert code == 0, talk
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def exports(built_sample: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the export of the sample as `old`, and changed as `new`."""
    folder = tmp_path_factory.mktemp("exports")
    for name in ("old", "new"):
        done = built_sample.finetune("export", "-o", folder / name)
        assert done.returncode == 0, done.stderr
    return folder


def change(exports: Path, target: Path) -> None:
    """Write a changed copy of the export, with a manifest that fits."""
    shutil.copytree(exports / "new", target)
    rows = json_lines(target / "clean.jsonl")
    titles = sorted({row["title"] for row in rows})
    gone, moved = titles[0], titles[1]
    kept = [row for row in rows if row["title"] != gone]
    for row in kept:
        row["split"] = "validation" if row["title"] == moved else "train"
    kept.append({**kept[-1], "pair_id": "f" * 32, "title": "[Lamp](x)\u202e|\n"})
    text = "".join(json.dumps(row) + "\n" for row in kept)
    (target / "clean.jsonl").write_text(text)
    document = json.loads((target / "manifest.json").read_bytes())
    document["files"]["clean.jsonl"] = {
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "bytes": len(text.encode()),
        "lines": len(kept),
    }
    document["system_prompt"] = "Be brief."
    document["vars"]["min_title_occurrences"] = 9
    document["funnel"][0]["rows_before"] = 400
    document["gate"]["tests"][0]["status"] = "warn"
    (target / "manifest.json").write_text(json.dumps(document))


def test_two_exports_of_the_same_rows_are_equal(
    exports: Path, workspace: Workspace
) -> None:
    old, new = str(exports / "old"), str(exports / "new")
    assert as_json(workspace, old, new)["equal"] is True
    code, out, _ = diff(workspace, old, new, "--exit-code")
    assert code == 0
    assert out.endswith("Nothing changed: 303 pairs.\n")


def test_what_differs_is_counted_and_named(
    exports: Path, workspace: Workspace, tmp_path: Path
) -> None:
    change(exports, tmp_path / "new")
    old, new = str(exports / "old"), str(tmp_path / "new")
    found = as_json(workspace, old, new)
    before = json_lines(exports / "old/clean.jsonl")
    titles = sorted({row["title"] for row in before})
    went = sum(row["title"] == titles[0] for row in before)
    moved = sum(row["title"] == titles[1] for row in before)
    samples = found["pairs"].pop("samples")
    assert found["pairs"] == {
        "came": 1,
        "went": went,
        "changed_side": moved,
        "kept": 303 - went - moved,
    }
    assert found["titles"] == {"came": 1, "went": 1, "changed_side": 1, "kept": 10}
    assert {e["question"] for e in samples["went"]} == {titles[0]}
    assert found["settings"].keys() == {"system_prompt", "vars"}
    assert found["settings"]["system_prompt"]["new"] == "Be brief."
    assert [*found["rules"]] == ["title_not_blank"]
    assert len(found["tests"]) == 1
    code, out, _ = diff(workspace, old, new, "--exit-code")
    assert code == 1
    assert "| titles | 1 | 1 | 1 | 10 |" in out
    # Text of the data is no markup, and stays on its line.
    assert "- \\[Lamp\\]\\(x\\) \\|  (train)" in out
    assert "\u202e" not in out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "manifest.json").unlink(), "manifest.json: No such file"),
        (lambda p: (p / "clean.jsonl").write_text("{}\n"), "clean.jsonl: sha256 "),
    ],
)
def test_what_is_no_export_is_one_clear_line(
    exports: Path,
    workspace: Workspace,
    tmp_path: Path,
    spoil: Callable[[Path], object],
    message: str,
) -> None:
    shutil.copytree(exports / "new", tmp_path / "new")
    spoil(tmp_path / "new")
    code, out, talk = diff(workspace, str(exports / "old"), str(tmp_path / "new"))
    assert (code, out, talk.count("\n")) == (1, "", 1)
    assert message in talk
