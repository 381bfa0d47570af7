"""`finetune funnel` shows the counts of the last build and dropped rows."""

import json
from typing import Any

from tests.workspace import Workspace

OUTCOMES = "select uid, title, description, dropped_by from finetune.product_outcomes"


def funnel(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    done = workspace.finetune("funnel", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_funnel_is_a_table_on_stdout_and_samples_follow_it(
    built_sample: Workspace,
) -> None:
    plain = built_sample.finetune("funnel")
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout.splitlines()[3].split() == [
        *("title_repeated", "354", "48", "306", "24", "12", "12")
    ]
    assert len(plain.stdout.splitlines()) == 5
    with_samples = built_sample.finetune(
        "funnel", "product_descriptions", "--samples=1"
    )
    assert with_samples.stdout.startswith(plain.stdout)
    assert "\ntitle_repeated dropped 48, such as:\n  uid='" in with_samples.stdout
    assert "\npair_distinct merged 3, such as:\n  uid='" in with_samples.stdout
    assert with_samples.stderr == ""


def test_each_sample_is_a_row_that_its_rule_dropped(built_sample: Workspace) -> None:
    document = funnel(built_sample, "--samples", "3")
    assert document == funnel(built_sample, "--samples", "3")
    dropped = built_sample.sql(OUTCOMES)
    merged = document["samples"].pop("pair_distinct")
    rules = [rule["rule"] for rule in document["rules"]]
    assert list(document["samples"]) == rules[:3]
    for rule, rows in document["samples"].items():
        there = [row for row in dropped if row[3] == rule]
        assert len(rows) == min(3, len(there))
        for row in rows:
            cut = [(uid, title, text and text[:200]) for uid, title, text, _ in there]
            assert (row["uid"], row["title"], row["description"]) in cut
    assert len(merged) == 3
    for row in merged:
        [(copies, first)] = built_sample.sql(
            "select copies, first_uid from finetune.training_pairs where copies > 1"
            f" and first_uid = '{row['first_uid']}'"
        )
        assert (copies, first) == (2, row["first_uid"])


def test_a_merged_sample_is_not_the_row_that_was_kept(
    workspace: Workspace,
) -> None:
    rows = [(f"{n:02}", "lamp", f"a bright lamp {n}") for n in range(12)]
    workspace.insert([*rows, ("99", "lamp", "a bright lamp 5"), (None, "lamp", "dark")])
    workspace.build()
    samples = funnel(workspace, "--samples", "9")["samples"]
    assert samples == {
        "description_long_enough": [
            {"uid": None, "title": "lamp", "description": "dark"}
        ],
        "pair_distinct": [
            {
                "uid": "99",
                "title": "lamp",
                "description": "a bright lamp 5",
                "first_uid": "05",
            }
        ],
    }


def test_without_funnel_or_outcomes_the_error_names_the_key_to_add(
    sample: Workspace,
) -> None:
    path = sample.project / "target" / "manifest.json"
    document = json.loads(path.read_bytes())
    [exposure] = document["exposures"].values()
    for key, arguments in ("outcomes", ["--samples=3"]), ("funnel", []):
        del exposure["config"]["meta"]["finetune"][key]
        path.write_text(json.dumps(document))
        done = sample.finetune("funnel", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            f"product_descriptions.config.meta.finetune.{key}: missing; name the"
            in (done.stderr)
        )
    assert sample.finetune("funnel", "other").returncode == 2
