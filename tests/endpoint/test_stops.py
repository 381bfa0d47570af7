"""Commands that are killed or stopped, at every step; what the next one finds."""

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

# What may be there when it is stopped before the endpoint has done its part.
FILE = "train-[0-9a-f]{12}.jsonl may be at http.*; finetune upload again finds it"
STANDS = {
    "GET /files": "nothing was created at http",
    "POST /files": FILE,
    "POST /uploads": "train-[0-9a-f]{12}.jsonl was not uploaded to http",
    # The Upload is cancelled; whether the last part had arrived depends on the moment.
    "POST /uploads/{upload_id}/parts": f"({FILE}|train-.* was not uploaded to http)",
    "POST /uploads/{upload_id}/complete": FILE,
    "GET /fine_tuning/jobs": "no job was created at http",
    "POST /fine_tuning/jobs": "a job may have been created at http.*; finetune train",
}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A training file alone."""
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    return tmp_path / "files"


def stopped(
    start: Start, server: Server, arguments: list[str], number: int
) -> tuple[int, str, str]:
    """Return how a command ended that got a signal as soon as it was held."""
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
        # What only reads is the same before and after.
        for hold in ("hold before", "hold after")[: 1 + route.startswith("POST")]
    ],
)
def test_a_killed_command_is_taken_up_by_the_next(
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
    # Nobody knows the id of an Upload whose answer never came; it expires.
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
    assert re.search(f"finetune: stopped; {STANDS[route]}", err)
    assert server.open_uploads() == []
    assert not list(folder.glob(".upload-*"))
    result = finetune(*arguments)
    assert (result.code, len(server.files)) == (0, 1)
    assert len(server.jobs) == (arguments is TRAIN)


def test_only_one_command_sends_from_a_folder(
    server: Server, finetune: Finetune, process: Start
) -> None:
    server.fail("POST /files", "hold before", 1)
    child = process("upload")
    assert server.reached.wait(30)
    result = finetune("upload")
    assert (result.code, server.files) == (1, {})
    assert "files: another command is writing there (process " in result.err
    child.kill()


def test_ctrl_c_leaves_the_job_alone_and_says_how_to_come_back(
    server: Server, process: Start
) -> None:
    job = server.add_job()["id"]
    server.fail("GET /fine_tuning/jobs/{fine_tuning_job_id}/events", "hold before", 1)
    code, _, err = stopped(process, server, ["watch", job], signal.SIGINT)
    assert (code, server.jobs[job]["status"]) == (130, "running")
    assert err.endswith(
        f"finetune: stopped; the job goes on: finetune watch {job} follows it again\n"
    )


def test_a_wait_that_is_stopped_names_the_file_that_stands(
    server: Server, process: Start
) -> None:
    server.statuses = ["uploaded"]
    server.fail("GET /files/{file_id}", "hold after", 1)
    code, out, err = stopped(process, server, UPLOAD, signal.SIGINT)
    [file] = server.files
    assert (code, out) == (130, "")
    assert err.endswith(
        f"stopped; {file} is at {server.url}; finetune upload again finds it\n"
    )
