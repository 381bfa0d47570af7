"""The gate: each data test runs again on the rows to be written, as in dbt."""

import json

import pytest

from tests.workspace import DBT, PAIRS, Workspace, edit

ONE = f"(select min(pair_id) from {PAIRS})"

CORRUPTIONS = {
    "training_pairs_description_is_long_enough": (
        f"update {PAIRS} set description = 'ten chars.' where pair_id = {ONE}"
    ),
    "has_no_outer_blanks_training_pairs_title": (
        f"update {PAIRS} set title = title || U&'\\3000' where pair_id = {ONE}"
    ),
    "has_no_outer_blanks_training_pairs_description": (
        f"update {PAIRS} set description = chr(8203) || description"
        f" where pair_id = {ONE}"
    ),
    "names_its_pair_training_pairs_pair_id": (
        f"update {PAIRS} set description = description || '!' where pair_id = {ONE}"
    ),
    "unique_training_pairs_pair_id": (
        "drop index finetune.pair_id_index;"
        f"insert into {PAIRS} select * from {PAIRS} where pair_id = {ONE}"
    ),
    "pairs_copies_add_up_to_enough_occurrences": (
        f"delete from {PAIRS} where pair_id = {ONE}"
    ),
    "training_pairs_split_is_train_or_validation": "'holdout'",
    "training_pairs_split_follows_the_hash_of_the_title": "'validation'",
    "keeps_titles_apart_training_pairs_split": (
        "case when pair_id < '8' then 'train' else 'validation' end"
    ),
    "filter_funnel_was_built_with_the_rules_of_today": (
        "update finetune.filter_funnel set vars = replace(vars, '10', '11')"
    ),
}


def corrupt(workspace: Workspace, corruption: str) -> None:
    """Run a statement, or replace the expression of the split in the view."""
    if " " not in corruption or corruption.startswith("case"):
        definition = workspace.sql("select pg_get_viewdef('finetune.training_pairs')")
        start, rest = definition[0][0].split("CASE", 1)
        view = f"{start}{corruption}{rest.split('END', 1)[1]}"
        corruption = f"create or replace view finetune.training_pairs as {view}"
    if "pair_id_index" in corruption:
        [[name]] = workspace.sql(
            "select indexname from pg_indexes"
            " where tablename = 'int_finetune__pairs_deduplicated'"
        )
        corruption = corruption.replace("pair_id_index", f'"{name}"')
    for statement in corruption.split(";"):
        workspace.sql(statement)


@pytest.mark.parametrize("test", CORRUPTIONS)
def test_each_data_test_stops_the_export_by_its_name(
    sample: Workspace, test: str
) -> None:
    before = {p.name: p.read_bytes() for p in sample.export().iterdir()}
    corrupt(sample, CORRUPTIONS[test])
    done = sample.finetune("export")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"fail: {test}: " in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "tests failed, so nothing was written: " in last
    assert test in last
    after = {p.name: p.read_bytes() for p in (sample.folder / "files").iterdir()}
    assert after == before


def test_a_failure_shows_three_rows_and_a_command_for_the_rest(
    sample: Workspace,
) -> None:
    sample.sql(f"update {PAIRS} set description = 'short'")
    done = sample.finetune("export")
    shown = [line for line in done.stderr.splitlines() if line.startswith("  ")]
    assert "fail: training_pairs_description_is_long_enough: 303 found" in done.stderr
    assert shown.count("  description='short'") == 3
    [command] = [
        line.partition(": dbt ")[2]
        for line in shown
        if line.endswith("--select training_pairs_description_is_long_enough")
    ]
    rest = sample.run([DBT, "--no-use-colors", *command.split()])
    assert rest.returncode == 0, rest.stdout
    assert rest.stdout.count("| short") == 100
    # dbt show does not change the artifacts of the build.
    assert "tests failed" in sample.finetune("export").stderr.splitlines()[-1]


def test_the_same_tests_after_dbt_test_alone(sample: Workspace) -> None:
    assert sample.dbt("test").returncode == 0
    sample.export()


USER_TESTS = {
    "models/intermediate/int_finetune__pairs_deduplicated.yml": """
    data_tests:
      - mentions:
          name: mentions_with_limit
          arguments: {word: GNOME}
          config: {limit: 7, error_if: ">7", warn_if: ">6"}
      - mentions:
          name: mentions_with_where
          arguments: {word: GNOME}
          config: {where: "title = 'Kate'", severity: error}
      - mentions:
          name: mentions_as_warning
          arguments: {word: GNOME}
          config: {severity: warn}
      - mentions:
          name: mentions_by_copies
          arguments: {word: GNOME}
          config: {fail_calc: "sum(copies)", error_if: ">100000"}
    columns:
""",
    "tests/generic/mentions.sql": """
{% test mentions(model, word) %}
    select * from {{ model }} where description like '%{{ word }}%' -- 100 %
{% endtest %}
""",
    "tests/no_more_than_one_kate.sql": """
{{ config(severity='warn') }}
select title from {{ ref('training_pairs') }} where title = 'Kate' offset 1
""",
    "tests/looks_elsewhere.sql": """
{{ config(severity='warn') }}
select 1 as one from {{ ref('int_finetune__titles_judged') }}
""",
}


def test_tests_that_a_user_adds_have_the_results_of_dbt(sample: Workspace) -> None:
    for name, text in USER_TESTS.items():
        path = sample.project / name
        if path.suffix == ".yml":
            edit(path, "    columns:\n", text.lstrip("\n"))
        else:
            path.write_text(text)
    sample.build()
    files = sample.export()
    results = json.loads((sample.project / "target/run_results.json").read_bytes())
    by_dbt = {
        result["unique_id"].split(".")[2]: (result["status"], result["failures"])
        for result in results["results"]
        if result["unique_id"].startswith("test.")
    }
    gate = json.loads((files / "manifest.json").read_bytes())["gate"]["tests"]
    # dbt reports no failures for a test that passes below its threshold.
    by_gate = {
        t["name"]: (t["status"], t["failures"] if t["status"] != "pass" else 0)
        for t in gate
    }
    assert {
        "mentions_with_limit",
        "mentions_with_where",
        "mentions_as_warning",
        "mentions_by_copies",
        "no_more_than_one_kate",
    } <= by_gate.keys()
    assert by_gate["mentions_with_limit"] == ("warn", 7)
    assert by_gate["mentions_as_warning"][0] == "warn"
    assert "looks_elsewhere" not in by_gate
    assert by_gate == {name: by_dbt[name] for name in by_gate}


def test_a_singular_test_that_fails_refuses_the_export(sample: Workspace) -> None:
    (sample.project / "tests" / "kate_is_absent.sql").write_text(
        "select title from {{ ref('filter_funnel') }} as f\n"
        "cross join {{ ref('training_pairs') }} where title = 'Kate'"
    )
    built = sample.dbt("build")
    assert built.returncode == 1
    done = sample.finetune("export")
    assert done.returncode == 1
    assert "kate_is_absent: fail in dbt's last run; run dbt build" in done.stderr


def test_without_the_gate_untested_rows_are_written_and_the_manifest_records_it(
    sample: Workspace,
) -> None:
    sample.sql(f"update {PAIRS} set description = 'short'")
    done = sample.finetune("export", "--no-gate")
    assert done.returncode == 0
    assert "WARNING: --no-gate" in done.stderr
    document = json.loads((sample.folder / "files/manifest.json").read_bytes())
    assert document["gate"] == {"ran": False, "tests": []}


def test_the_gate_finds_a_table_that_was_replaced_after_the_build(
    sample: Workspace,
) -> None:
    sample.sql(f"create table finetune.copy as table {PAIRS}")
    sample.sql("update finetune.copy set description = left(description, 5)")
    sample.sql(f"drop table {PAIRS} cascade")
    sample.sql("alter table finetune.copy rename to int_finetune__pairs_deduplicated")
    done = sample.finetune("export")
    assert done.returncode == 1
    assert 'relation "finetune.training_pairs" does not exist' in done.stderr
    assert not (sample.folder / "files").exists()
