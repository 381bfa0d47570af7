"""Damaged files that people really had, and the rules that each breaks."""

import pytest

from tests.checked import findings
from tests.workspace import REPOSITORY

# Every rule that is broken, with its lines and what the finding must name.
_EACH: list[int | None] = [*range(1, 13)]
CASES: dict[str, list[tuple[str, list[int | None], str]]] = {
    "G1_no_text_no_date.jsonl": [
        ("messages-empty", [1], "no message"),
        ("too-few-examples", [None, None, None], "fewer than"),
    ],
    "G3_broken_array.jsonl": [("json-damaged", [1], "at line 1 column 55")],
    "G4_bom_in_the_middle.jsonl": [("bom-inside", [7], "two files were joined")],
    "G6_nul_padding.jsonl": [("nul-padding", [13], "a crash or a full disk")],
    "G7_ctrl_z.jsonl": [("ctrl-z", [13], "Ctrl-Z")],
    "G9_html_page.jsonl": [("page", [None], "HTML")],
    "G10_capital_key.jsonl": [("key-case", _EACH, "Messages")],
    "F1_control_tokens.jsonl": [("special-token", _EACH, "<s>")],
    "F3_backslash_n.jsonl": [("literal-escape", _EACH, "as characters")],
    "F4_null_words.jsonl": [("null-word", _EACH, "nan")],
    "F5_one_answer_for_all.jsonl": [("answer-for-many", [1], "12 lines")],
    "F7_html_entities.jsonl": [("html", [1], "12 of 12 examples")],
}


@pytest.mark.parametrize("name", CASES)
def test_a_real_damaged_file_breaks_its_own_rule_and_no_other(name: str) -> None:
    found = findings(REPOSITORY / "tests/cases" / name)
    for rule, lines, named in CASES[name]:
        own = [finding for finding in found if finding.rule == rule]
        assert [finding.line for finding in own] == lines
        assert named in own[0].message
    assert {finding.rule for finding in found} == {rule for rule, _, _ in CASES[name]}


def test_a_fix_is_a_command_that_can_be_pasted() -> None:
    path = REPOSITORY / "tests/cases/G7_ctrl_z.jsonl"
    assert findings(path)[0].fix == f"remove it: tr -d '\\032' < {path} > OTHER.jsonl"
