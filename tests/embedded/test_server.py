"""The embedded server: commands start it, share it, and stop it."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.engines.home import MAX_SOCKET_FOLDER
from tests.embedded.conftest import (
    PACKAGES,
    finetune,
    home,
    is_running,
    postmaster,
    query,
    start,
    wait_until,
)
from tests.workspace import clean_environment


def test_it_starts_for_a_command_and_stops_after_it(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    assert not is_running(folder)


def test_five_commands_at_once_share_one_server(folder: Path) -> None:
    sql = "select pg_backend_pid() > 0, pg_postmaster_start_time() from pg_sleep(0.5)"
    processes = [start(folder, "local", "psql", "-XAtc", sql) for _ in range(5)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, answers
    assert len({stdout for stdout, _ in answers}) == 1
    assert not is_running(folder)


def test_a_nested_command_attaches_and_leaves_it_running(folder: Path) -> None:
    inner = f"{sys.executable} -m exporter local psql -XAtc 'select 1'"
    code, out, error = finetune(
        folder, "local", "run", "--", "sh", "-c", f"{inner}; {inner}"
    )
    assert (code, out, error) == (0, "1\n1", "")


def test_sigterm_stops_the_command_and_the_server(folder: Path) -> None:
    process = start(folder, "local", "run", "--", "sleep", "60")
    wait_until(is_running, folder)
    wait_until(
        lambda: (
            subprocess.run(
                ["pgrep", "-P", str(process.pid)], check=False, capture_output=True
            ).stdout
        )
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert not is_running(folder)


def ended(pid: int) -> bool:
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    except FileNotFoundError:
        return True


def pids_in(folder: Path) -> list[int]:
    """Return the other processes that name the folder or work in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            named = os.fsencode(folder) in (path / "cmdline").read_bytes()
            if (named or (path / "cwd").resolve() == folder) and not ended(
                int(path.name)
            ):
                found.append(int(path.name))
    return found


@pytest.mark.parametrize("moment", ["at work", "starting"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_a_killed_command_leaves_neither_server_nor_program_behind(
    folder: Path, number: signal.Signals, moment: str
) -> None:
    process = start(folder, "local", "run", "--", "sleep", "60")
    if moment == "at work":
        wait_until(lambda: len(pids_in(folder)) > 3)
        wait_until(is_running, folder)
        wait_until(
            lambda: any(
                b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes()
                for pid in pids_in(folder)
            )
        )
    else:
        wait_until((home(folder) / "data.new").exists)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (-9 if number == signal.SIGKILL else 129)
    wait_until(lambda: not pids_in(folder))
    assert not is_running(folder)
    assert not list((home(folder) / "socket").glob(".s.*"))
    assert query(folder, "select 1") == (0, "1", "")


def test_programs_end_if_their_make_is_killed(folder: Path) -> None:
    command = f"{sys.executable} -m exporter local run -- sleep 60"
    (folder / "Makefile").write_text(f"all:\n\t{command}\n")
    with subprocess.Popen(
        ["make"],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": PACKAGES},
        stderr=subprocess.DEVNULL,
    ) as make:
        wait_until(is_running, folder)
        time.sleep(1)
        make.kill()
    wait_until(lambda: not pids_in(folder))
    assert not is_running(folder)


def test_data_survive_if_server_and_command_are_killed(folder: Path) -> None:
    query(folder, "create table kept as select 42 as answer")
    with start(folder, "local", "run", "--", "sleep", "30") as process:
        wait_until(is_running, folder)
        # A table created in its own transaction is on the disk, not in the log.
        assert query(folder, "show wal_level") == (0, "minimal", "")
        query(
            folder, "create table large as select n from generate_series(1, 300000) n"
        )
        os.kill(postmaster(folder), signal.SIGKILL)
        process.kill()
    assert query(folder, "select answer from kept") == (0, "42", "")
    assert query(folder, "select sum(n) from large") == (0, "45000150000", "")


def test_a_pid_file_with_the_pid_of_another_program_is_stale(folder: Path) -> None:
    query(folder, "create table kept as select 42 as answer")
    stale = f"{os.getpid()}\n{home(folder)}/data\n0\n5432\n{home(folder)}/socket\n\n"
    (home(folder) / "data/postmaster.pid").write_text(stale)
    (home(folder) / "socket/.s.PGSQL.5432.lock").write_text(stale)
    assert query(folder, "select answer from kept") == (0, "42", "")


def test_an_interrupted_first_start_is_repeated(folder: Path) -> None:
    query(folder, "select 1")
    data = home(folder) / "data"
    data.rename(data.with_name("data.new"))
    (data.with_name("data.new") / "PG_VERSION").unlink()
    assert query(folder, "select 1") == (0, "1", "")


def test_the_server_runs_in_a_folder_with_a_long_path(folder: Path) -> None:
    deep = folder / ("a folder with a long name and 'quotes' " * 3).strip() / "é"
    shutil.copytree(folder / "dbt_project", deep / "dbt_project")
    assert query(deep, "select 1") == (0, "1", "")
    code, out, _ = finetune(deep, "local", "run", "--", "sh", "-c", "echo $PGHOST")
    assert code == 0
    assert len(os.fsencode(out)) < MAX_SOCKET_FOLDER


@pytest.mark.parametrize("name", ['it\'s $HOME `id` "a" \\ ü', "mugs, cups"])
def test_the_server_runs_in_a_folder_with_any_characters(
    folder: Path, name: str
) -> None:
    odd = folder / name
    odd.mkdir()
    assert query(odd, "select 1") == (0, "1", "")


@pytest.mark.parametrize("name", [b"two\nlines", b"no \xff UTF-8"])
def test_a_folder_that_postgresql_cannot_use_is_refused(
    folder: Path, name: bytes
) -> None:
    odd = folder / os.fsdecode(name)
    odd.mkdir()
    code, _, error = query(odd, "select 1")
    assert code == 1
    assert error.endswith("rename the folder")
    assert len(error.splitlines()) == 1


def test_data_of_another_version_are_refused_with_a_remedy(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    (home(folder) / "data/PG_VERSION").write_text("9.6\n")
    code, _, error = query(folder, "select 1")
    assert code == 1
    assert "initialized by PostgreSQL version 9.6" in error
    assert "; set PG_BINDIR to the programs of that version, or" in error


@pytest.mark.parametrize("name", ["socket", "data.new", "data/server.log"])
def test_a_file_in_the_place_of_a_folder_is_an_error_of_one_line(
    folder: Path, name: str
) -> None:
    wrong = folder / ".postgres" / name
    wrong.parent.mkdir(parents=True)
    wrong.touch()
    code, _, error = query(folder, "select 1")
    assert code == 1
    assert error.startswith("finetune: ")
    assert "no log" not in error
    assert len(error.splitlines()) == 1
    shutil.rmtree(folder / ".postgres")


def test_a_command_that_waits_for_another_can_be_stopped(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    with (home(folder) / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with start(folder, "local", "psql", "-XAtc", "select 1") as process:
            time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 128 + signal.SIGTERM
