"""The embedded server is closed to other users, and runs for any of them."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from exporter.engines import embedded
from tests.embedded.conftest import NOBODY, ROOT, finetune, home, postmaster, query


def test_it_is_utf8_and_compares_by_code_point_on_a_socket_only(folder: Path) -> None:
    sql = (
        "select current_setting('server_encoding'), 'B' < 'a', lower('É'),"
        " current_setting('listen_addresses')"
    )
    assert query(folder, sql) == (0, "UTF8|t|é|", "")
    for name in ("data", "socket"):
        assert (home(folder) / name).stat().st_mode & 0o077 == 0


def test_the_server_has_no_secret_of_ours_in_its_environment(folder: Path) -> None:
    finetune(folder, "local", "start", OPENAI_API_KEY="planted", HF_TOKEN="planted")
    # Root runs it as another user, and it runs on after the command.
    environment = Path(f"/proc/{postmaster(folder)}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"planted" not in environment


@pytest.mark.parametrize("name", ["socket", "data.new"])
def test_a_planted_link_gives_nothing_to_the_server_user(
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


def test_no_file_is_made_through_a_planted_link(folder: Path) -> None:
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


def test_other_users_cannot_hold_the_locks(folder: Path) -> None:
    assert query(folder, "select 1") == (0, "1", "")
    for name in ("lock", "users"):
        assert (home(folder) / name).stat().st_mode & 0o077 == 0
    # Other users can open these, and so lock them.
    for path in (folder, home(folder)):
        descriptor = os.open(path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert query(folder, "select 1") == (0, "1", "")


def test_the_server_runs_in_a_closed_project_folder(folder: Path) -> None:
    closed = folder / "closed"
    shutil.copytree(folder / "dbt_project", closed / "dbt_project")
    closed.chmod(0o700)
    code, _, error = query(closed, "create table kept as select 1 as one")
    assert code == 0
    assert query(closed, "select one from kept") == (0, "1", "")
    assert closed.stat().st_mode & 0o777 == 0o700
    if ROOT:
        place = closed / ".postgres"
        # No system deletes old files there; the message comes once.
        assert place.readlink().parent == Path("/var/lib/finetune")
        assert error == f"{place}: its data are in {place.readlink()}"
        shutil.rmtree(home(closed))
        code, _, error = query(closed, "select 1")
        assert code == 0
        assert "are gone; the server starts empty" in error
        shutil.rmtree(home(closed))


@pytest.mark.skipif(not ROOT, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_needs_no_help_of_root(theirs: Path) -> None:
    assert query(theirs, "select 1", NOBODY.pw_uid) == (0, "1", "")
    finetune(theirs, "local", "start", user=NOBODY.pw_uid)
    code, _, error = finetune(theirs, "local", "stop")
    assert code == 1
    assert error.endswith(f"{NOBODY.pw_uid}; run as that user, not as root")
    stopped = finetune(theirs, "local", "stop", user=NOBODY.pw_uid)
    assert stopped == (0, "", "stopped")
    owners = {path.stat().st_uid for path in home(theirs).iterdir()}
    assert owners == {NOBODY.pw_uid}


@pytest.mark.skipif(not ROOT, reason="only root can take a uid without a name")
def test_a_uid_without_a_name_is_an_error_of_one_line(theirs: Path) -> None:
    os.chown(theirs, 4242, 4242)
    code, _, error = query(theirs, "select 1", 4242)
    assert code == 1
    assert "user 4242 has no entry in the passwd file" in error


@pytest.mark.skipif(not ROOT, reason="as an ordinary user the binaries are one's own")
def test_binaries_that_the_server_user_cannot_run_are_copied(
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
