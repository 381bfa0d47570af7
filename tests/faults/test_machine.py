"""The machine has too little room or memory, is read-only, or its clock is wrong."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.faults.conftest import Results
from tests.faults.disks import mounts, small_disk
from tests.faults.running import Ended
from tests.faults.subjects import NEW, REFUSED, Export, Load, Subject, Train, Upload
from tests.faults.sweep import run_without_fault, verdict
from tests.workspace import Workspace

MakeSubject = Callable[[str], Subject]
COMMANDS = [Export.name, Load.name, Upload.name, Train.name]


def check_all(
    subject: Subject, kind: str, results: Results, runs: Iterator[tuple[str, Ended]]
) -> None:
    """Check each run of a command; fail with all errors."""
    faults, count = [], 0
    for name, ended in runs:
        count += 1
        state, wrong = verdict(subject, ended, kind, "")
        results.add(kind, subject, state)
        faults += [f"{name}: {wrong}"] * bool(wrong)
    assert count
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults)


@pytest.mark.faults
@pytest.mark.parametrize("command", [Export.name, Load.name])
def test_a_limit_of_the_file_size_is_an_error_of_one_line(
    make_subject: MakeSubject, results: Results, command: str
) -> None:
    subject = make_subject(command)
    sizes = [*range(4096, 60_000, 8192)]  # Its messages must fit.

    def runs() -> Iterator[tuple[str, Ended]]:
        for size in sizes:
            subject.prepare()
            yield f"{size} bytes", subject.run(limits={"RLIMIT_FSIZE": size})

    check_all(subject, "RLIMIT_FSIZE", results, runs())


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
def test_too_few_descriptors_are_an_error_of_one_line(
    make_subject: MakeSubject, results: Results, command: str
) -> None:
    subject = make_subject(command)

    def runs() -> Iterator[tuple[str, Ended]]:
        for count in range(4, 24, 2):
            subject.prepare()
            yield f"{count} files", subject.run(limits={"RLIMIT_NOFILE": count})

    check_all(subject, "RLIMIT_NOFILE", results, runs())


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
def test_too_little_memory_loses_nothing(
    make_subject: MakeSubject, results: Results, command: str
) -> None:
    subject = make_subject(command)

    def runs() -> Iterator[tuple[str, Ended]]:
        for more in range(3, 40, 4):
            subject.prepare()
            yield f"{more} MB more", subject.run(more_memory=more << 20)

    check_all(subject, "RLIMIT_AS", results, runs())


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("years", [-30, -1, 1, 30])
def test_a_wrong_clock_changes_no_byte(
    make_subject: MakeSubject, results: Results, command: str, years: int
) -> None:
    subject = make_subject(command)
    subject.prepare()
    ended = subject.run(clock=years * 365.25 * 86400)
    assert (ended.code, subject.state()) == (0, NEW), ended.stderr
    kind = "clock back" if years < 0 else "clock ahead"
    check_all(subject, kind, results, iter([(f"{years} years", ended)]))


@pytest.mark.faults
@mounts
@pytest.mark.parametrize("free", range(0, 160, 16))
def test_a_full_disk_keeps_the_old_set(
    make_subject: MakeSubject, results: Results, free: int
) -> None:
    subject = make_subject(Export.name)
    subject.prepare()
    files = subject.workspace.folder / "files"
    used = sum(-(-path.stat().st_size // 4096) * 4 for path in files.iterdir())
    with small_disk(files, used + 4 + free):
        ended = subject.run()
        state = subject.state()
        left = subject.left_over()
    assert (ended.code, state) in {(1, "old"), (0, "new")}, ended.stderr
    assert not left
    results.add("disk full", subject, state)
    if free == 0:
        assert "cannot write: No space left on device; make room" in ended.stderr


@pytest.mark.faults
@mounts
def test_a_read_only_disk_is_named(make_subject: MakeSubject, results: Results) -> None:
    subject = make_subject(Export.name)
    subject.prepare()
    files = subject.workspace.folder / "files"
    with small_disk(files, 1000):
        subprocess.run(["mount", "-o", "remount,ro", files], check=True)
        ended = subject.run()
        state = subject.state()
    assert (ended.code, state) == (1, "old")
    assert "files: cannot write: " in ended.stderr
    results.add("disk read-only", subject, state)


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_standard_output_loses_nothing(
    make_subject: MakeSubject, results: Results, command: str
) -> None:
    subject = make_subject(command)

    def runs() -> Iterator[tuple[str, Ended]]:
        subject.prepare()
        yield "full", subject.run(stdout="/dev/full")

    check_all(subject, "standard output full", results, runs())


LINKED = ["train.jsonl", "clean.jsonl", "manifest.json"]
LINKED += [f".{name}.part" for name in LINKED]


@pytest.mark.faults
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
@pytest.mark.parametrize("name", LINKED)
def test_no_file_is_written_through_a_planted_link(
    make_subject: MakeSubject, results: Results, name: str, link: str
) -> None:
    subject = make_subject(Export.name)
    subject.prepare()
    victim = subject.workspace.folder / "victim"
    victim.write_text("precious")
    planted = subject.workspace.folder / "files" / name
    planted.unlink(missing_ok=True)
    getattr(planted, link)(victim)
    ended = subject.run()
    assert victim.read_text() == "precious"
    if ended.code:
        assert "plain file; choose another name" in ended.stderr
    else:
        assert subject.state() == NEW
    results.add("link planted", subject, REFUSED if ended.code else NEW)
    victim.unlink()


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
def test_several_commands_at_once_succeed_or_name_the_lock(
    make_subject: MakeSubject, results: Results, command: str
) -> None:
    subject = make_subject(command)
    subject.prepare()
    environment = subject.workspace.environment | subject.variables
    several = [
        subprocess.Popen(
            [sys.executable, "-m", "exporter", *subject.arguments],
            cwd=subject.workspace.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    codes = []
    for process in several:
        _, said = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert process.returncode == 0 or "another command is writing there" in said
    assert 0 in codes
    assert subject.state() == NEW
    assert not subject.left_over()
    for _ in codes:
        results.add("several at once", subject, NEW)


@pytest.mark.faults
def test_these_tests_can_set_a_wrong_clock(
    make_subject: MakeSubject,
) -> None:
    subject = make_subject(Export.name)
    run_without_fault(subject)
    manifest = subject.workspace.folder / "files/manifest.json"
    before = manifest.read_text()
    subject.run(clock=30 * 365.25 * 86400)
    assert '"created_at": "20' in before
    assert '"created_at": "205' in manifest.read_text()


@pytest.mark.parametrize("arguments", ["readers", "--help", "check --list-rules"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_an_error_of_one_line(
    workspace: Workspace, unbuffered: str, arguments: str
) -> None:
    command = f"exec {sys.executable} -m exporter {arguments} > /dev/full"
    done = workspace.run(["sh", "-c", command], PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (
        1,
        (
            "finetune: No space left on device; free some or raise the limit, then run "
            "it again\n"
        ),
    )


def test_a_full_standard_error_does_not_change_the_exit_code_of_a_refusal(
    workspace: Workspace,
) -> None:
    command = f"exec {sys.executable} -m exporter check absent.jsonl 2> /dev/full"
    assert workspace.run(["sh", "-c", command], PYTHONUNBUFFERED="").returncode == 1
