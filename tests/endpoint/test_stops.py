"""A command is killed or stopped at any step; the next one completes its work."""

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endpoint.conftest import MODEL, Finetune, export
from tests.endpoint.server import Server

UPLOAD = ["upload"]
PARTS = ["upload", "--parts-above", "0", "--part-size", "0.0007"]
TRAIN = ["train", "--model", MODEL, "--yes"]

STEPS = [
    (UPLOAD, "GET /files"),
    (UPLOAD, "POST /files"),
    (PARTS, "POST /uploads"),
    (PARTS, "POST /uploads/{upload_id}/parts"),
    (PARTS, "POST /uploads/{upload_id}/complete"),
    (TRAIN, "GET /fine_tuning/jobs"),
    (TRAIN, "POST /fine_tuning/jobs"),
]

# What a command reports that is stopped before the endpoint has answered.
FILE = "train-[0-9a-f]{12}.jsonl may be at http.*; finetune upload again finds it"
REPORTS = {
    "GET /files": "nothing was created at http",
    "POST /files": FILE,
    "POST /uploads": "train-[0-9a-f]{12}.jsonl was not uploaded to http",
    # The Upload is cancelled; whether the last part arrived before depends on timing.
    "POST /uploads/{upload_id}/parts": f"({FILE}|train-.* was not uploaded to http)",
    "POST /uploads/{upload_id}/complete": FILE,
    "GET /fine_tuning/jobs": "no job was created at http",
    "POST /fine_tuning/jobs": "a job may have been created at http.*; finetune train",
}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Only a training file."""
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    return tmp_path / "files"


def stopped(
    start: Start, server: Server, arguments: list[str], number: int
) -> tuple[int, str, str]:
    """Stop a command while the server holds its request; return how it ended."""
    child = start(*arguments)
    assert server.reached.wait(30), child.communicate(timeout=5)
    server.faults.clear()
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


@pytest.mark.parametrize(
    ("arguments", "route", "hold"),
    [
        (arguments, route, hold)
        for arguments, route in STEPS
        # For a request that only reads, before and after are the same.
        for hold in ("hold before", "hold after")[: 1 + route.startswith("POST")]
    ],
)
def test_the_next_command_completes_what_a_killed_one_began(
    server: Server,
    finetune: Finetune,
    process: Start,
    folder: Path,
    arguments: list[str],
    route: str,
    hold: str,
) -> None:
    if arguments is TRAIN:
        finetune("upload")
    server.fail(route, hold, 1)
    code, out, _ = stopped(process, server, arguments, signal.SIGKILL)
    assert (code, out) == (-signal.SIGKILL, "")
    made = server.jobs if arguments is TRAIN else server.files
    result = finetune(*arguments)
    assert (result.code, result.out.split()) == (0, list(made))
    assert len(made) == 1
    # The id of an Upload is unknown if its answer never came; it expires.
    nameless = (route, hold) == ("POST /uploads", "hold after")
    assert len(server.open_uploads()) == nameless
    assert not list(folder.glob(".upload-*"))


@pytest.mark.parametrize(
    ("arguments", "route", "number"),
    [
        *((arguments, route, signal.SIGINT) for arguments, route in STEPS[1:]),
        (PARTS, "POST /uploads/{upload_id}/parts", signal.SIGTERM),
        (TRAIN, "POST /fine_tuning/jobs", signal.SIGTERM),
        (UPLOAD, "POST /files", signal.SIGHUP),
    ],
)
def test_a_stopped_command_leaves_no_upload_open(
    server: Server,
    finetune: Finetune,
    process: Start,
    folder: Path,
    arguments: list[str],
    route: str,
    number: int,
) -> None:
    if arguments is TRAIN:
        finetune("upload")
    server.fail(route, "hold before", 1)
    code, out, err = stopped(process, server, arguments, number)
    assert out == "", err
    assert code == 128 + number
    assert len([line for line in err.splitlines() if "sending" not in line]) == 1
    assert re.search(f"finetune: stopped; {REPORTS[route]}", err)
    assert server.open_uploads() == []
    assert not list(folder.glob(".upload-*"))
    result = finetune(*arguments)
    assert (result.code, len(server.files)) == (0, 1)
    assert len(server.jobs) == (arguments is TRAIN)


def test_only_one_command_uploads_from_a_folder(
    server: Server, finetune: Finetune, process: Start
) -> None:
    server.fail("POST /files", "hold before", 1)
    child = process("upload")
    assert server.reached.wait(30)
    result = finetune("upload")
    assert (result.code, server.files) == (1, {})
    assert "files: another command is writing there (process " in result.err
    child.kill()


def test_ctrl_c_leaves_the_job_running_and_names_the_command_to_resume(
    server: Server, process: Start
) -> None:
    job = server.add_job()["id"]
    server.fail("GET /fine_tuning/jobs/{fine_tuning_job_id}/events", "hold before", 1)
    code, _, err = stopped(process, server, ["watch", job], signal.SIGINT)
    assert (code, server.jobs[job]["status"]) == (130, "running")
    assert err.endswith(
        f"finetune: stopped; the job goes on: finetune watch {job} follows it again\n"
    )


def test_an_event_that_was_shown_before_a_stop_is_not_shown_after_it(
    server: Server, process: Start
) -> None:
    shown = []
    job = server.add_job()["id"]
    for number in range(100):
        server.add_event(job, f"step {number}")
    for stop in (10, 30, None):
        child = process("watch", job, "--interval", "0.01")
        assert child.stderr
        for line in child.stderr:
            shown += [line.split("  ")[2]] if "  info  " in line else []
            if len(shown) == stop:
                child.send_signal(signal.SIGINT)
    assert shown[:3] == ["created\n", "step 0\n", "step 1\n"]
    assert sorted(shown) == sorted({*shown})
    assert len(shown) == 103  # With the two that its progress adds.


def test_a_stopped_wait_names_the_uploaded_file(server: Server, process: Start) -> None:
    server.statuses = ["uploaded"]
    server.fail("GET /files/{file_id}", "hold after", 1)
    code, out, err = stopped(process, server, UPLOAD, signal.SIGINT)
    [file] = server.files
    assert (code, out) == (130, "")
    assert err.endswith(
        f"stopped; {file} is at {server.url}; finetune upload again finds it\n"
    )
