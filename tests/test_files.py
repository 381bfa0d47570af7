"""Files are complete or absent, even with planted links, signals and kills."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.errors import FinetuneError
from exporter.files import append, drafts, publish
from exporter.locks import locked
from exporter.signals import defer_stops
from tests.workspace import Workspace


def write(folder: Path, text: str, *names: str, absent: str = "none") -> None:
    """Write files of one line each, as every command does."""
    with drafts(folder, absent, *names) as [empty, *opened]:
        for draft in opened:
            draft.write_line(text.encode() + b"\n")
            draft.finish()
        publish(*opened, absent=[empty])


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_no_file_is_written_through_a_planted_link(tmp_path: Path, link: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "files"
    folder.mkdir()
    getattr(folder / ".train.jsonl.part", link)(victim)
    write(folder, "new", "train.jsonl")
    assert victim.read_text() == "precious"
    assert contents(folder) == {"train.jsonl": "new\n"}
    assert not (folder / "train.jsonl").is_symlink()


def test_no_file_is_written_through_a_link_planted_after_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    unlink = Path.unlink

    def unlink_and_plant(path: Path, *, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        path.symlink_to(victim)

    monkeypatch.setattr(Path, "unlink", unlink_and_plant)
    with pytest.raises(FinetuneError, match="cannot write: File exists"):
        write(tmp_path / "files", "new", "train.jsonl")
    assert victim.read_text() == "precious"


def test_files_of_a_killed_command_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.part").write_text("half")
    (tmp_path / ".b.part").write_text("half")
    write(tmp_path, "new", "a", "b")
    assert contents(tmp_path) == {"a": "new\n", "b": "new\n"}


@pytest.mark.parametrize("kind", ["device", "link", "pipe", "folder"])
def test_only_a_plain_file_is_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "device":
        path = Path("/dev/null")
    elif kind == "link":
        path.symlink_to("/dev/null")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    before = path.lstat()
    with pytest.raises(FinetuneError, match="is not a plain file; choose another"):
        write(path.parent, "new", path.name)
    assert path.lstat().st_mode == before.st_mode
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert not (path.parent / f".{path.name}.part").exists()


@pytest.mark.parametrize("name", ["in.jsonl", "../folder/in.jsonl", "hard.jsonl"])
def test_an_input_is_never_replaced(workspace: Workspace, name: str) -> None:
    folder = workspace.folder / "folder"
    folder.mkdir()
    text = '{"uid": "1", "title": "lamp", "content": "bright"}\nbad\n'
    (folder / "in.jsonl").write_text(text)
    (folder / "hard.jsonl").hardlink_to(folder / "in.jsonl")
    done = workspace.finetune(
        "load", folder / "in.jsonl", "--replace", "--rejects", folder / name
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "would overwrite its own input" in done.stderr
    assert contents(folder) == {"in.jsonl": text, "hard.jsonl": text}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("place", range(4))
def test_a_signal_between_two_renames_is_deferred_until_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, place: int
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, stop)
    names = ["a", "b", "c"]
    write(tmp_path, "old", *names, "absent")
    replace, done = Path.replace, 0

    def signalled(path: Path, target: Path) -> None:
        nonlocal done
        if done == place:
            signal.raise_signal(number)
        replace(path, target)
        done += 1
        if done == place == len(names):
            signal.raise_signal(number)

    monkeypatch.setattr(Path, "replace", signalled)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, "new", *names, absent="absent")
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)
    assert contents(tmp_path) == dict.fromkeys(names, "new\n")


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with defer_stops():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_the_owner_can_open_a_lock_file_and_waiting_for_it_ends(
    tmp_path: Path,
) -> None:
    start = time.monotonic()
    with (
        locked(tmp_path, "lock"),
        pytest.raises(FinetuneError, match="another command is writing there"),
        locked(tmp_path, "lock", seconds=0.1),
    ):
        pass
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    assert time.monotonic() - start >= 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says who holds a lock")
def test_the_process_that_holds_the_lock_is_named_at_once(tmp_path: Path) -> None:
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX);"
    code += "print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        start = time.monotonic()
        with pytest.raises(
            FinetuneError, match=rf"there \(process {reader.pid}\); wait"
        ):
            write(tmp_path, "new", "a")
        assert time.monotonic() - start < 5
        reader.communicate()
    write(tmp_path, "new", "a")
    assert contents(tmp_path) == {"a": "new\n"}


def test_a_line_is_appended_after_an_incomplete_one_and_not_through_a_link(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    append(path, b"one\n")
    append(path, b"two")
    append(path, b"three\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic link"):
        append(tmp_path / "link", b"four\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
