"""A command that is stopped at any moment reports in one line what was done."""

import os
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.endpoint.conftest import export
from tests.workspace import Workspace, clean_environment

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

# Sends itself a signal at the n-th event that Python audits: an import, a file, socket
# or process that is opened, a thread, and the like.
AT_THE_NTH = """
import os, sys
import exporter.__main__ as program
place, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
count = 0
def count_event(*_):
    global count
    count += 1
    if count == place:
        os.kill(os.getpid(), number)
sys.addaudithook(count_event)
program.main()
"""


def stopped_at(
    place: int, number: int, *arguments: str, folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AT_THE_NTH, str(place), str(int(number)), *arguments],
        check=False,
        cwd=folder,
        env=clean_environment() | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("place", "number"),
    [*zip([1, 300, 1000, 1500, 2000, 3000, 5000, 8000], 3 * NUMBERS, strict=False)],
)
@pytest.mark.parametrize("command", ["readers", "check", "init new", "upload"])
def test_a_stopped_command_reports_what_was_done_in_one_line(
    tmp_path: Path, command: str, place: int, number: int
) -> None:
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    # No server listens at this port.
    endpoint = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    done = stopped_at(place, number, *command.split(), folder=tmp_path, **endpoint)
    if "finetune: stopped" not in done.stderr:
        # The command has fewer events, and ended before this one.
        assert done.returncode == (command == "upload"), done.stderr
        assert place >= 1000
        return
    assert done.returncode == 128 + number
    messages = [
        line for line in done.stderr.splitlines() if line.startswith("finetune: ")
    ]
    assert len(messages) == 1
    assert re.fullmatch(
        "finetune: stopped; (nothing was (changed|written|created at .*)"
        "|every file is written|the command was at its end)",
        messages[0],
    )
    assert "Traceback" not in done.stderr
    if "nothing was" in messages[0]:
        assert not (tmp_path / "new").exists()
    assert {path.name for path in (tmp_path / "files").iterdir()} == {
        "train.jsonl",
        "manifest.json",
    }


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_after_the_end_of_a_command_keeps_its_exit_code(
    tmp_path: Path, number: int
) -> None:
    # Python deletes the module after it has restored the handlers of the system.
    program = f"""
import os
import exporter.__main__ as program
class Last:
    def __del__(self, kill=os.kill, pid=os.getpid()):
        kill(pid, {int(number)})
last = Last()
program.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "readers", "openai"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "OpenAI" in done.stdout


@pytest.mark.parametrize(
    ("left", "code", "stderr"),
    [
        ("time.sleep(20)", 143, "finetune: stopped; nothing was changed\n"),
        ("pass  # The command is at its end, and its work is done.", 0, ""),
    ],
)
def test_a_stop_that_python_drops_stops_what_is_left_of_the_command(
    left: str, code: int, stderr: str
) -> None:
    program = f"""
import os, signal, time, weakref
from exporter.cli import stops
class Thing: pass
thing = Thing()
kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
with stops.stoppable():
    del thing
    {left}
time.sleep(0.1)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=15,
    )
    assert (done.returncode, done.stderr) == (code, stderr)


def test_a_program_on_a_server_of_your_own_ends_with_a_command_that_is_killed(
    tmp_path: Path,
) -> None:
    command = ["local", "run", "--", "sh", "-c", "echo $$; exec sleep 30"]
    with subprocess.Popen(
        [sys.executable, "-m", "exporter", *command],
        cwd=tmp_path,
        env=clean_environment() | {"PGHOST": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        program = int(process.stdout.readline())
        process.kill()
        # Now only the program has the other end of the pipe open.
        ended, _, _ = select.select([process.stdout], [], [], 10)
        with suppress(ProcessLookupError):
            os.kill(program, signal.SIGKILL)
    assert ended


def test_a_signal_that_is_ignored_stays_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            'trap \'\' HUP INT; exec "$0" -c "$1" 2000 1 readers',
            sys.executable,
            AT_THE_NTH,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_stopped_load_reports_that_nothing_was_loaded(
    workspace: Workspace, number: int
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "exporter", "load", "-"],
        cwd=workspace.folder,
        env=workspace.environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    child.stdin.write("uid,title,content\n" + "1,a lamp,a bright one\n" * 200_000)
    child.stdin.flush()
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert err == "finetune: stopped; nothing was loaded; public.product is as it was\n"
    assert workspace.sql("select to_regclass('public.product')") == [(None,)]


def test_a_stopped_export_reports_that_the_old_files_are_unchanged(
    sample: Workspace,
) -> None:
    sample.export()
    old = (sample.folder / "files" / "manifest.json").read_bytes()
    for number in NUMBERS:
        child = subprocess.Popen(
            [sys.executable, "-m", "exporter", "export"],
            cwd=sample.folder,
            env=sample.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with sample.connect() as connection:
            # It waits for the lock until it is stopped.
            connection.autocommit = False
            connection.execute(
                "lock table finetune.training_pairs in access exclusive mode"
            )
            while not connection.execute(
                "select from pg_locks where not granted"
            ).fetchall():
                pass
            child.send_signal(number)
            out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (128 + number, "")
        assert err == "finetune: stopped; the files in files are as they were\n"
    assert (sample.folder / "files" / "manifest.json").read_bytes() == old


@pytest.mark.parametrize("number", NUMBERS)
def test_the_program_of_local_run_is_stopped_with_it(
    workspace: Workspace, number: int
) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "exporter",
            "local",
            "run",
            "--",
            "sh",
            "-c",
            "echo $$; exec sleep 60",
        ],
        cwd=workspace.folder,
        env=workspace.environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout is not None
    pid = int(child.stdout.readline())
    child.send_signal(number)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 128 + number
    assert err.endswith("finetune: stopped; sh was stopped, too\n")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


FAULTY = '{"messages":[]}\n' * 5_000


@pytest.mark.parametrize(
    "command", ["readers", "check --list-rules", "--help", "check --json faulty.jsonl"]
)
def test_a_closed_pipe_is_not_reported(tmp_path: Path, command: str) -> None:
    (tmp_path / "faulty.jsonl").write_text(FAULTY)
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m exporter {command} | head -n 1', sys.executable],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", ["check", "check --json"])
def test_a_full_disk_under_the_findings_is_no_fault_of_the_file(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "faulty.jsonl").write_text(FAULTY)
    done = shell(tmp_path, f'"$0" -m exporter {command} faulty.jsonl > /dev/full')
    assert done.returncode == 1
    assert done.stderr.startswith("finetune: No space left on device; free some")
    assert done.stderr.count("\n") == 1


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    """Else a message, of a signal say, is written into it."""
    (tmp_path / "plain.jsonl").write_text(
        '{"messages":[{"role":"user","content":"a"},'
        '{"role":"assistant","content":"b"}]}\n' * 12
    )
    command = '"$0" -m exporter check plain.jsonl'
    shown = shell(tmp_path, command)
    closed = shell(tmp_path, f"{command} 0<&- 2>&-")
    assert (closed.returncode, closed.stdout) == (shown.returncode, shown.stdout)
    listed = shell(
        tmp_path,
        '"$0" -m exporter local run -- ls -l /proc/self/fd <&- 2>&-',
        PGPORT="1",
    )
    assert listed.stdout.count("/dev/null") == 2


def shell(
    folder: Path, command: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", command, sys.executable],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
        env=os.environ | variables,
    )
