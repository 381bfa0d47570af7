"""Harms that no reader refuses are reported on the way from the table to the file."""

import json

import pytest

from tests.harm_figures import alarms, planted_table, sets, table_in_the_docs
from tests.workspace import REPOSITORY, SHARED_DATA, Workspace

CASE = REPOSITORY / "tests/cases/F8_harm_from_table_to_file.csv"


def test_gate_manifest_and_check_report_harm_in_the_table(
    workspace: Workspace,
) -> None:
    loaded = workspace.finetune("load", CASE)
    assert loaded.returncode == 0, loaded.stderr
    workspace.build()
    done = workspace.finetune("export")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((workspace.folder / "files/manifest.json").read_bytes())
    warned = {
        test["name"].removeprefix("training_pairs_"): test["failures"]
        for test in manifest["gate"]["tests"]
        if test["status"] == "warn"
    }
    assert warned == {
        "description_differs_from_title": 1,
        "description_holds_no_control_token": 120,
        "description_holds_no_literal_escape": 120,
        "description_holds_no_mojibake": 120,
        "description_stands_under_few_titles": 1,
        "title_is_no_null_word": 12,
    }
    for name in warned:
        assert f"warn: training_pairs_{name}: " in done.stderr
    checked = workspace.finetune("check", "--json")
    assert checked.returncode == 0
    rules = {json.loads(line)["rule"] for line in checked.stdout.splitlines()}
    assert rules == {
        "answer-for-many",
        "answer-is-question",
        "literal-escape",
        "mojibake",
        "null-word",
        "special-token",
    }


def test_the_documented_figures_of_planted_harm_are_right(
    workspace: Workspace,
) -> None:
    assert planted_table(workspace) in table_in_the_docs("planted")


@pytest.mark.parametrize("name", ["bundled sample", "appstream_cc0"])
def test_the_documented_figures_of_real_texts_are_right(name: str) -> None:
    found = sets([name])
    if not found:
        pytest.skip(f"{SHARED_DATA} is absent, and with it {name}")
    assert f"| {name} | {alarms(found[name])} |\n" in table_in_the_docs("real")
