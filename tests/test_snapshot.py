"""One snapshot: what others change during an export does not reach a file."""

import random
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest

from tests.workspace import PAIRS, Workspace, json_lines


def slowed(workspace: Workspace) -> None:
    """Make each row of the published view slow."""
    workspace.sql(
        "create function slow(text) returns text language sql as"
        " 'select $1 from pg_sleep(0.005)'"
    )
    [[view]] = workspace.sql("select pg_get_viewdef('finetune.training_pairs')")
    slow = view.replace(" first_uid", " slow(first_uid) as first_uid")
    assert slow != view
    workspace.sql(f"create or replace view finetune.training_pairs as {slow}")


def test_changes_during_the_stream_do_not_reach_the_file(
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
    """Start an export and wait until its connection is in a state."""
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


def test_changes_between_the_tests_and_the_stream_are_not_written(
    sample: Workspace,
) -> None:
    before = (sample.export() / "clean.jsonl").read_bytes()
    (sample.project / "tests" / "zzz_takes_its_time.sql").write_text(
        "select title from {{ ref('training_pairs') }}\n"
        "where (select cast(pg_sleep(1) as text)) is null"
    )
    sample.build()
    process = started_export(sample, "wait_event = 'PgSleep'")
    # Only the last test sleeps: all others have passed.
    sample.sql(f"update {PAIRS} set description = 'short'")
    assert process.poll() is None, "the export was over before it could be disturbed"
    assert process.wait(timeout=60) == 0
    assert (sample.folder / "raced" / "clean.jsonl").read_bytes() == before


def test_a_table_replaced_while_the_export_waits_for_its_lock_is_read_completely(
    sample: Workspace,
) -> None:
    """Without the lock, the snapshot would find the new table and see it empty."""
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


@pytest.mark.parametrize("replaced", [False, True])
def test_the_export_holds_no_lock_while_it_waits_for_one(
    sample: Workspace, *, replaced: bool
) -> None:
    """A build that locks more is then never the victim of a deadlock.

    dbt drops the old version of a table after it has put the new one in its place; the
    views above still read the old one.
    """
    waits_for = PAIRS
    if replaced:
        waits_for = "finetune.old"
        sample.sql(f"alter table {PAIRS} rename to old")
        sample.sql(f"create table {PAIRS} as table {waits_for}")
    locks = """
        select granted, relation::regclass::text from pg_locks
        inner join pg_stat_activity using (pid)
        where application_name = 'finetune' and locktype = 'relation'
            and relation::regclass::text like 'finetune.%'
    """
    with sample.connect() as build, build.transaction():
        build.execute("set local deadlock_timeout = '1ms'")
        build.execute(f"lock table {waits_for} in access exclusive mode")
        export = subprocess.Popen(
            [sys.executable, "-m", "exporter", "export"],
            cwd=sample.folder,
            env=sample.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while (False, waits_for) not in (found := sample.sql(locks)):
            assert export.poll() is None
        assert found == [(False, waits_for)]
        build.execute("lock table finetune.training_pairs in access exclusive mode")
    assert "gate: 31 tests" in export.communicate(timeout=30)[1]
    assert export.returncode == 0


def test_no_file_ever_contains_an_untested_row(
    sample: Workspace,
) -> None:
    """A second connection replaces and updates the table all the time.

    Every other version has descriptions that the tests refuse. So a file with such a
    row, or with rows of two versions, was not tested as a whole.
    """
    [[view]] = sample.sql("select pg_get_viewdef('finetune.training_pairs')")
    sample.sql(f"create table finetune.original as table {PAIRS}")
    stop = threading.Event()
    faults: list[Exception] = []

    def disturb() -> None:
        random.seed(7)
        number = 0
        with sample.connect() as build:
            # In a deadlock, this session would be ended first.
            build.execute("set deadlock_timeout = '1ms'")
            while not stop.is_set():
                number += 1
                length = 3 if number % 2 else 10_000
                swap = SWAP if number % 4 < 2 else UPDATE
                try:
                    for statement in swap.format(
                        number=number, length=length, view=view.rstrip(";")
                    ).split(";"):
                        build.execute(statement.encode())
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
