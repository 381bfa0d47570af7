"""Each generic test for harm finds what it names, and nothing else."""

import json
from typing import Any

import pytest

from tests.workspace import MakeWorkspace, Workspace

SWITCHED_ON = """\
        data_tests:
          - stands_under_few_titles:
              arguments: {at_most: 2}
          - holds_no_control_token
          - holds_no_html
          - holds_no_literal_escape
          - holds_no_mojibake
          - mentions_no_card_number
          - mentions_no_email_address
          - mentions_no_key
          - mentions_no_phone_number
          - differs_in_more_than_case_or_spacing
"""

CLEAN = [
    "meet @ five o'clock",
    "user@host",
    "in 2024-2025 we sold 10 000 000",
    "version 0.1.2.3 of 1,000.50",
    "a < b and c > d",
    "fish & chips; salt",
    "R&D <3 and <name>",
    "EAN 4006381333931 or 0301234567",
    "C:\\new\\table and \\nabla",
    "\u201eMEN\u00dc\u201c and CAF\u00c9\u00bb",
    "none of them",
]
FOUND = {
    "mentions_no_email_address": [
        "write to ann.lee@example.com today",
        "ann+lee@shop-24.example.org",
    ],
    "mentions_no_phone_number": [
        "call +49 30 1234567 now",
        "call (030) 123-4567",
        "tel. 030 1234567",
    ],
    "holds_no_html": ["a <b>bold</b> lamp", "fish &amp; chips", "&#8364; 5", "x<br/>y"],
    "holds_no_control_token": ["was <s>49</s> EUR", "a [INST] lamp", "<|im_end|> x"],
    "holds_no_literal_escape": ["nice\\nand warm", "caf\\u00e9 au lait", "a.\\r\\nb c"],
    "holds_no_mojibake": ["It\u00e2\u20ac\u2122s nice", "caf\u00c3\u00a9 au lait"],
    "is_no_null_word": ["undefined", "NULL"],
    "differs_from": ["LAMP", "\u00c9CRAN \u0416 \u03a3\u03a3"],
    "mentions_no_key": [
        "use AKIA" + "IOSFODNN7EXAMPLE now",
        "-----BEGIN PRIVATE" + " KEY-----",
    ],
    "mentions_no_card_number": ["pay 4111 1111 1111 1111 now", "371449635398431"],
    "stands_under_few_titles": ["under three titles"],
    "differs_in_more_than_case_or_spacing": ["Twice the\u00a0same", "twice thesame"],
}


@pytest.fixture(scope="module")
def switched_on(make_workspace: MakeWorkspace) -> Workspace:
    workspace = make_workspace()
    path = workspace.project / "models/marts/training_pairs.yml"
    before, after = path.read_text().split("      - name: description\n", 1)
    description, data_tests = after.split("        data_tests:\n", 1)
    path.write_text(
        f"{before}      - name: description\n{description}{SWITCHED_ON}{data_tests}"
    )
    texts = [*CLEAN, *(text for texts in FOUND.values() for text in texts)]
    rows = [("lamp", text) for text in texts]
    rows += [("\u00e9cran \u0436 \u03c3\u03c2", "\u00c9CRAN \u0416 \u03a3\u03a3")]
    rows += [("chair", "under three titles"), ("table", "under three titles")]
    workspace.insert([(None, *row) for row in rows])
    workspace.build("--vars", "{min_title_occurrences: 1, min_description_length: 3}")
    return workspace


@pytest.mark.parametrize("test", FOUND)
def test_a_test_for_harm_finds_what_it_names_and_nothing_else(
    switched_on: Workspace, test: str
) -> None:
    manifest = json.loads((switched_on.project / "target/manifest.json").read_bytes())
    [node] = [
        node
        for node in manifest["nodes"].values()
        if node.get("test_metadata", {}).get("name") == test
        and node["test_metadata"]["kwargs"].get("at_most") != 11
        and node["test_metadata"]["kwargs"].get("column_name") == "description"
    ]
    with switched_on.connect() as connection:
        cursor = connection.execute(node["compiled_code"].encode())
        names = [column.name for column in cursor.description or ()]
        rows: list[dict[str, Any]] = [
            dict(zip(names, row, strict=True)) for row in cursor.fetchall()
        ]
    if "description" in names:
        assert {row["description"] for row in rows} == set(FOUND[test])
    else:
        assert [row["begins_with"] for row in rows] == FOUND[test][:1]


def test_the_manifest_counts_what_they_find_as_warnings(switched_on: Workspace) -> None:
    files = switched_on.export()
    gate = json.loads((files / "manifest.json").read_bytes())["gate"]["tests"]
    counts = {test["name"]: (test["status"], test["failures"]) for test in gate}
    for name, texts in FOUND.items():
        groups = 1 if name.startswith(("stands", "differs_in")) else 0
        found = {
            value
            for key, value in counts.items()
            if key.startswith((name, f"training_pairs_description_{name}"))
            and key != "training_pairs_description_stands_under_few_titles"
        }
        assert found == {("warn", groups or len(texts))}
