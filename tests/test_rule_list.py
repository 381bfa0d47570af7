"""One list names the rules, and no row is lost outside of it."""

import json
import re
from pathlib import Path

import pytest

from tests.workspace import REPOSITORY, Workspace, edit, json_lines

RULES = ["title_not_blank", "description_long_enough", "title_repeated"]
RULES += ["pair_distinct", "validation_answer_unseen"]


@pytest.mark.parametrize("rule", RULES)
def test_only_one_file_of_models_and_macros_names_a_rule(rule: str) -> None:
    project = REPOSITORY / "dbt_project"
    files = [
        path.relative_to(project)
        for folder in ("models", "macros")
        for path in (project / folder).rglob("*")
        if path.is_file() and re.search(rf"\b{rule}\b", path.read_text("utf-8"))
    ]
    assert files == [Path("macros/rules.sql")]


def test_a_threshold_is_one_line_of_one_file(workspace: Workspace) -> None:
    edit(workspace.project / "dbt_project.yml", "occurrences: 10", "occurrences: 3")
    workspace.insert([(None, "lamp", f"a bright lamp, number {n}") for n in range(3)])
    workspace.build(unit_tests=True)
    files = workspace.export()
    assert len(json_lines(files / "clean.jsonl")) == 3
    document = json.loads((files / "manifest.json").read_bytes())
    conditions = {rule["rule"]: rule["condition"] for rule in document["funnel"]}
    assert conditions["title_repeated"] == "count(*) >= 3"


@pytest.mark.parametrize("thresholds", [(0, 1, 50), (50, 100, 33.3)])
def test_no_unit_test_depends_on_the_thresholds_of_the_project(
    workspace: Workspace, thresholds: tuple[float, ...]
) -> None:
    settings = workspace.project / "dbt_project.yml"
    shipped = ("min_description_length: 10", "occurrences: 10", "percent: 0")
    for old, new in zip(shipped, thresholds, strict=True):
        edit(settings, old, f"{old.partition(':')[0]}: {new}")
    workspace.insert([("1", "lamp", "a bright lamp")])
    workspace.build(unit_tests=True)


# A rule on titles needs an entry, a unit test and a data test.
ENTRY = """\
        {
            'name': 'title_not_flooded',
            'on': 'title',
            'condition': 'count(*) <= 15',
        },
"""
UNIT_TEST = """
  - name: int_finetune__titles_judged_drops_sixteen_rows
    model: int_finetune__titles_judged
    overrides: {vars: {min_title_occurrences: 1}}
    given:
      - input: ref('int_finetune__products_judged')
        rows: [ROWS]
    expect:
      rows:
        - {title: fifteen, dropped_by: null}
        - {title: sixteen, dropped_by: title_not_flooded}
"""


def test_a_rule_on_titles_is_one_entry_a_unit_test_and_a_data_test(
    workspace: Workspace,
) -> None:
    rows = [
        f"{{title: {t}}}"
        for t, n in (("fifteen", 15), ("sixteen", 16))
        for _ in range(n)
    ]
    rules = workspace.project / "macros/rules.sql"
    edit(
        rules,
        "        {\n            'name': 'pair_distinct',",
        f"{ENTRY}        {{\n            'name': 'pair_distinct',",
    )
    unit_tests = workspace.project / "tests/rules.yml"
    unit_tests.write_text(
        unit_tests.read_text() + UNIT_TEST.replace("ROWS", ", ".join(rows))
    )
    data_test = workspace.project / "tests/no_title_is_flooded.sql"
    data_test.write_text(
        "select title from {{ ref('training_pairs') }} where title_occurrences > 15"
    )
    counts = {"few": 9, "some": 12, "many": 20}
    workspace.insert(
        [
            (f"{title} {n}", title, f"a bright lamp, number {n}")
            for title, count in counts.items()
            for n in range(count)
        ]
    )
    workspace.build(unit_tests=True)
    files = workspace.export()
    assert {row["title"] for row in json_lines(files / "clean.jsonl")} == {"some"}
    document = json.loads((files / "manifest.json").read_bytes())
    [rule] = [r for r in document["funnel"] if r["rule"] == "title_not_flooded"]
    assert (rule["rows_before"], rule["rows_after"]) == (32, 12)
    assert rule["condition"] == "count(*) <= 15"
    assert "no_title_is_flooded" in {t["name"] for t in document["gate"]["tests"]}
    assert workspace.sql(
        "select title, dropped_by, count(*) from finetune.product_outcomes"
        " group by 1, 2 order by 1"
    ) == [
        ("few", "title_repeated", 9),
        ("many", "title_not_flooded", 20),
        ("some", None, 12),
    ]


OUTCOMES = "models/marts/product_outcomes.sql"

# A change that loses rows or mixes rules up, and the test of dbt that fails.
MUTATIONS = {
    "a row that is lost": (
        OUTCOMES,
        "    from judged\n",
        "    from judged\n    where uid <> '3'\n",
        "filter_funnel_begins_with_every_raw_row",
    ),
    "a row under a name that is no rule": (
        OUTCOMES,
        "        dropped_by,\n        case when",
        ("        coalesce(dropped_by, 'forgotten') as dropped_by,\n        case when"),
        "filter_funnel_begins_with_every_raw_row",
    ),
    "a row that is counted twice": (
        OUTCOMES,
        "        on products.title = titles.title\n",
        (
            "        on products.title = titles.title\n"
            "    cross join (select 1 as n union all select 2) as twice\n"
        ),
        "filter_funnel_begins_with_every_raw_row",
    ),
}


def test_a_row_without_its_rule_is_a_failed_test(workspace: Workspace) -> None:
    rows = [(str(n), "lamp", f"a bright lamp, number {n}") for n in range(12)]
    workspace.insert([*rows, ("12", "", "a lamp without a name")])
    workspace.build()
    for path, old, new, test in MUTATIONS.values():
        text = (workspace.project / path).read_text()
        edit(workspace.project / path, old, new)
        changed = ("--select", "product_outcomes+")
        built = workspace.dbt("build", *changed, "--exclude-resource-type", "unit_test")
        assert built.returncode == 1, new
        assert f"FAIL 1 {test}" in built.stdout, new
        (workspace.project / path).write_text(text)


def test_rules_in_another_order_are_a_failed_test(workspace: Workspace) -> None:
    path = workspace.project / "macros/rules.sql"
    text = path.read_text()
    first, second = (
        re.search(
            rf"        \{{\n            'name': '{rule}'.*?\}},\n", text, re.DOTALL
        )
        for rule in RULES[:2]
    )
    assert first
    assert second
    swapped = text.replace(first[0], "").replace(second[0], second[0] + first[0])
    path.write_text(swapped)
    workspace.insert([])
    built = workspace.dbt("build", "--select", "+int_finetune__products_judged")
    assert built.returncode == 1
    name = "int_finetune__products_judged"
    assert f"FAIL 1 {name}::{name}_drops_blank_titles_first" in built.stdout
