"""The gate: what is written was tested, in the same snapshot, with dbt's meaning."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import DBT, Workspace, json_lines

PAIRS = "finetune.int_finetune__pairs_deduplicated"
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
    """Run a statement, or put another expression for the split in the view."""
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
    # Looking does not spoil the artifacts of the build.
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


def test_tests_that_a_user_adds_count_as_dbt_counts_them(sample: Workspace) -> None:
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


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def new_test(workspace: Workspace) -> None:
    (workspace.project / "tests/new.sql").write_text(
        "select title from {{ ref('training_pairs') }} where title = 'Teapot'"
    )


def other_prompt(workspace: Workspace) -> None:
    edit(
        workspace.project / "models/marts/training_pairs.yml",
        "You write product descriptions.",
        "You write descriptions.",
    )


def build_the_funnel_alone(workspace: Workspace) -> None:
    """Change a rule, but count nothing anew."""
    rules = workspace.project / "macros/rules.sql"
    edit(rules, "title <> ''", "title not in ('', 'Okular')")
    workspace.dbt("build", "--select", "filter_funnel")
    workspace.dbt("test")


# What makes a build stale, and what the refusal names.
STALE: dict[str, tuple[Callable[[Workspace], object], str]] = {
    "a model": (
        lambda w: edit(
            w.project / "models/marts/training_pairs.sql", "'train'", "'training'"
        ),
        "(dbt_project/models/marts/training_pairs.sql): model training_pairs;",
    ),
    "a macro": (
        lambda w: edit(w.project / "macros/text.sql", "\\ufeff", "\\ufeff\\u180e"),
        "(dbt_project/macros/text.sql): model ",
    ),
    "a test in YAML": (
        lambda w: edit(
            w.project / "models/marts/training_pairs.yml",
            "config: {severity: warn}",
            "config: {severity: error}",
        ),
        "test training_pairs_split_has_the_share_asked_for",
    ),
    "the prompt": (other_prompt, "the data set product_descriptions"),
    "a var": (
        lambda w: edit(
            w.project / "dbt_project.yml", "occurrences: 10", "occurrences: 9"
        ),
        "(dbt_project/dbt_project.yml): model ",
    ),
    "a new test": (new_test, "(dbt_project/tests/new.sql): test new"),
    "a removed file": (
        lambda w: (w.project / "models/marts/filter_funnel.sql").unlink(),
        "dbt cannot compile the project: ",
    ),
    "the target": (
        lambda w: w.environment.update(DBT_SCHEMA="elsewhere"),
        "built in schema finetune, but DBT_SCHEMA is elsewhere",
    ),
    "the database": (
        lambda w: w.environment.update(PGDATABASE="postgres"),
        "connected to database postgres, but dbt built in ",
    ),
    "the manifest": (
        lambda w: (w.project / "target/manifest.json").unlink(),
        "manifest.json: No such file",
    ),
    "half a manifest": (
        lambda w: (w.project / "target/manifest.json").write_text("{"),
        "manifest.json: not JSON",
    ),
    "the results": (
        lambda w: (w.project / "target/run_results.json").unlink(),
        "run_results.json: No such file",
    ),
    "other vars": (
        lambda w: w.dbt("test", "--vars", "{validation_percent: 20}"),
        "filter_funnel_was_built_with_the_rules_of_today: fail in dbt's last run",
    ),
    "no view": (
        lambda w: w.sql("drop view finetune.training_pairs"),
        'relation "finetune.training_pairs" does not exist',
    ),
    "a funnel over old counts": (
        build_the_funnel_alone,
        "filter_funnel_was_built_with_the_rules_of_today: fail in dbt's last run",
    ),
    "no funnel": (
        lambda w: w.sql("truncate finetune.filter_funnel"),
        "finetune.filter_funnel is empty",
    ),
}


@pytest.mark.parametrize("change", STALE)
def test_what_is_not_the_build_of_these_files_is_refused(
    sample: Workspace, change: str
) -> None:
    make_stale, named = STALE[change]
    make_stale(sample)
    done = sample.finetune("export")
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert named in last
    assert "dbt build" in last
    assert not (sample.folder / "files").exists()


def test_a_change_that_dbt_has_read_since_is_refused_all_the_same(
    sample: Workspace,
) -> None:
    edit(sample.project / "dbt_project.yml", "occurrences: 10", "occurrences: 9")
    for command, reason in [
        ("ls", "changed since the build: model "),
        ("test", "fail in dbt's last run"),
    ]:
        sample.dbt(command)
        done = sample.finetune("export")
        assert done.returncode == 1
        assert reason in done.stderr


def test_clocks_hide_nothing(sample: Workspace) -> None:
    """The build seems to come from the future, and the change from the past."""
    target = sample.project / "target"
    for name in ("manifest.json", "run_results.json"):
        text = (target / name).read_text()
        (target / name).write_text(re.sub(r"\b2\d{3}-(?=\d\d-\d\dT)", "2999-", text))
    for path in target.rglob("*"):
        os.utime(path, (32e9, 32e9))
    model = sample.project / "models/marts/training_pairs.sql"
    edit(model, "'train'", "'training'")
    os.utime(model, (1e9, 1e9))
    done = sample.finetune("export")
    assert done.returncode == 1
    assert "model training_pairs; run dbt build" in done.stderr


def test_what_changes_no_content_does_no_harm(sample: Workspace) -> None:
    """Commands that only look, other target folders, new times, another folder."""
    sample.dbt("ls")
    sample.export()
    sample.dbt("docs", "generate")
    sample.export()
    (sample.project / "models/unrelated.sql").write_text("select nothing")
    assert sample.dbt("build").returncode == 1
    sample.export()
    shutil.copytree(sample.project / "target", sample.project / "target_qa")
    elsewhere = sample.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(sample.project, elsewhere / "project")
    shutil.copy(sample.folder / "profiles.yml", elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (32e9, 32e9))
    command = [sys.executable, "-m", "exporter", "export", "--project-dir", "project"]
    done = subprocess.run(
        command,
        check=False,
        cwd=elsewhere,
        env=sample.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_without_the_gate_the_rows_go_out_and_the_manifest_says_so(
    sample: Workspace,
) -> None:
    sample.sql(f"update {PAIRS} set description = 'short'")
    done = sample.finetune("export", "--no-gate")
    assert done.returncode == 0
    assert "WARNING: --no-gate" in done.stderr
    document = json.loads((sample.folder / "files/manifest.json").read_bytes())
    assert document["gate"] == {"ran": False, "tests": []}


def slowed(workspace: Workspace) -> None:
    """Make each row of the published view take a moment."""
    workspace.sql(
        "create function slow(text) returns text language sql as"
        " 'select $1 from pg_sleep(0.005)'"
    )
    [[view]] = workspace.sql("select pg_get_viewdef('finetune.training_pairs')")
    slow = view.replace(" first_uid", " slow(first_uid) as first_uid")
    assert slow != view
    workspace.sql(f"create or replace view finetune.training_pairs as {slow}")


def test_nothing_that_happens_during_the_stream_reaches_the_file(
    sample: Workspace,
) -> None:
    before = (sample.export() / "clean.jsonl").read_bytes()
    slowed(sample)
    streams = "query like '% order by \"pair_id\" collate%' and state = 'active'"
    process = started_export(sample, streams)
    sample.sql(f"update {PAIRS} set description = 'short'")
    sample.sql(f"delete from {PAIRS} where title = 'Kate'")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        sample.sql(f"set lock_timeout = '50ms'; alter table {PAIRS} rename to gone")
    assert process.poll() is None, "the export was over before it could be disturbed"
    assert process.wait(timeout=60) == 0
    assert (sample.folder / "raced" / "clean.jsonl").read_bytes() == before


def started_export(workspace: Workspace, state: str) -> subprocess.Popen[bytes]:
    """Start an export and return when its connection is in the state."""
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", "export", "-o", "raced"],
        cwd=workspace.folder,
        env=workspace.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if workspace.sql(
            "select pid from pg_stat_activity where pid <> pg_backend_pid()"
            f" and datname = current_database() and {state}"
        ):
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the export was never seen in that state")


def test_rows_that_come_between_the_tests_and_the_stream_are_not_written(
    sample: Workspace,
) -> None:
    before = (sample.export() / "clean.jsonl").read_bytes()
    (sample.project / "tests" / "zzz_takes_its_time.sql").write_text(
        "select title from {{ ref('training_pairs') }}\n"
        "where (select cast(pg_sleep(1) as text)) is null"
    )
    sample.build()
    process = started_export(sample, "wait_event = 'PgSleep'")
    # It is the last test that sleeps: all others have passed.
    sample.sql(f"update {PAIRS} set description = 'short'")
    assert process.poll() is None, "the export was over before it could be disturbed"
    assert process.wait(timeout=60) == 0
    assert (sample.folder / "raced" / "clean.jsonl").read_bytes() == before


def test_a_replacement_that_the_export_waits_for_is_read_whole(
    sample: Workspace,
) -> None:
    """Found by name after the snapshot, the new table would look empty."""
    before = (sample.export() / "clean.jsonl").read_bytes()
    [[view]] = sample.sql("select pg_get_viewdef('finetune.training_pairs')")
    with sample.connect() as connection:
        with connection.transaction():
            for statement in (
                f"create table finetune.new as table {PAIRS}",
                f"alter table {PAIRS} rename to old",
                "alter table finetune.new rename to int_finetune__pairs_deduplicated",
                f"create or replace view finetune.training_pairs as {view}",
            ):
                connection.execute(statement.encode())
            process = started_export(sample, "wait_event_type = 'Lock'")
        assert process.wait(timeout=60) == 0
    assert (sample.folder / "raced" / "clean.jsonl").read_bytes() == before


SWAP = """
    create table finetune.new as
        select
            md5(title || chr(31) || left(description, {length}) || ' {number}')
                as pair_id,
            title,
            left(description, {length}) || ' {number}' as description,
            title_occurrences,
            copies,
            first_uid,
            harms
        from finetune.original;
    begin;
    alter table finetune.int_finetune__pairs_deduplicated rename to old;
    alter table finetune.new rename to int_finetune__pairs_deduplicated;
    commit;
    drop table finetune.old cascade;
    create view finetune.training_pairs as {view}
"""
UPDATE = """
    update finetune.int_finetune__pairs_deduplicated
    set
        pair_id = md5(now_.title || chr(31) || now_.text),
        description = now_.text
    from (
        select
            pair_id as key,
            title,
            case
                when {length} > 99 then description || ' {number}' else 'short'
            end as text
        from finetune.int_finetune__pairs_deduplicated
    ) as now_
    where pair_id = now_.key
"""


def test_a_build_that_locks_the_other_way_round_is_waited_for(
    sample: Workspace,
) -> None:
    held = """
        select granted, relation::regclass::text from pg_locks
        inner join pg_stat_activity using (pid)
        where application_name = 'finetune' and locktype = 'relation'
            and relation::regclass::text like 'finetune.%'
    """
    with sample.connect() as build, build.transaction():
        build.execute("set local deadlock_timeout = '1min'")
        build.execute(f"lock table {PAIRS} in access exclusive mode")
        export = subprocess.Popen(
            [sys.executable, "-m", "exporter", "export"],
            cwd=sample.folder,
            env=sample.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while (False, PAIRS) not in (locks := sample.sql(held)):
            assert export.poll() is None
        other = min({name for granted, name in locks if granted} - {PAIRS})
        # Now each waits for the other, until the server ends the export's wait.
        build.execute(f"lock table {other} in access exclusive mode")
    assert "gate: 31 tests" in export.communicate(timeout=30)[1]
    assert export.returncode == 0


def test_at_no_moment_does_a_file_hold_a_row_that_was_not_tested(
    sample: Workspace,
) -> None:
    """A second connection replaces and rewrites the table all the time.

    Every other generation holds descriptions that the tests refuse, so a file
    with such a row, or with rows of two generations, was not tested as a whole.
    """
    [[view]] = sample.sql("select pg_get_viewdef('finetune.training_pairs')")
    sample.sql(f"create table finetune.original as table {PAIRS}")
    stop = threading.Event()
    faults: list[Exception] = []

    def disturb() -> None:
        random.seed(7)
        number = 0
        while not stop.is_set():
            number += 1
            length = 3 if number % 2 else 10_000
            swap = SWAP if number % 4 < 2 else UPDATE
            try:
                for statement in swap.format(
                    number=number, length=length, view=view.rstrip(";")
                ).split(";"):
                    sample.sql(statement) if statement.strip() else None
            except psycopg.Error as error:
                faults.append(error)
                return
            time.sleep(random.uniform(0, 0.3))  # noqa: S311  # A pause, no secret.

    racer = threading.Thread(target=disturb)
    racer.start()
    outcomes: dict[str, int] = {}
    try:
        for number in range(24):
            output = sample.folder / f"files{number}"
            done = sample.finetune("export", "-o", output)
            if done.returncode == 0:
                rows: list[Any] = json_lines(output / "clean.jsonl")
                ends = {row["description"].rsplit(" ", 1)[-1] for row in rows}
                assert len(rows) == 303
                assert len(ends) == 1 or not any(end.isdigit() for end in ends)
                assert min(len(row["description"]) for row in rows) > 10
            else:
                assert "fail: " in done.stderr or "dbt build" in done.stderr
            outcome = "written" if done.returncode == 0 else "refused"
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    finally:
        stop.set()
        racer.join()
    assert not faults
    assert outcomes.keys() == {"written", "refused"}, outcomes


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
