"""Absurd answers and files are shown safely and never cause a traceback."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint.conftest import MODEL, Finetune, Result, export
from tests.endpoint.server import Server

# It clears the screen, forges an error of finetune and reverses the order of letters.
HOSTILE = "bad\x1b[2J\r\nfinetune: forged\u202e\u2066\x9b31m\x07"
QUICK = ["--interval", "0.01", "--retries", "0"]


def assert_harmless(result: Result) -> None:
    for line in (result.out + result.err).split("\n"):
        assert line.isprintable()
        assert not line.startswith("finetune: forged")


@pytest.mark.parametrize(
    "route",
    [
        "GET /files",
        "POST /files",
        "GET /fine_tuning/jobs/{fine_tuning_job_id}",
        "POST /fine_tuning/jobs",
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_an_error_message_cannot_control_the_terminal(
    server: Server, finetune: Finetune, route: str, status: int
) -> None:
    command: tuple[str, ...] = ("upload",)
    if "files" not in route:
        finetune("upload")
        command = ("train", "--model", MODEL, "--yes")
    if "job_id" in route:
        command = ("watch", server.add_job()["id"], *QUICK)
        status = 400
    server.fail(route, status, message=HOSTILE)
    result = finetune(*command, "--retries", "0")
    assert result.code == 1
    assert "bad\\x1b[2J finetune: forged\\u202e" in result.err
    assert_harmless(result)
    server.exchanges.clear()  # They are not in OpenAI's description.


def test_the_texts_of_a_job_cannot_control_the_terminal(
    server: Server, finetune: Finetune
) -> None:
    server.course = [HOSTILE, "succeeded"]
    job = server.add_job(model=HOSTILE)["id"]
    server.add_event(job, HOSTILE, level=HOSTILE)
    result = finetune("watch", job, *QUICK)
    server.exchanges.clear()
    assert result.code == 0
    assert "bad\\x1b[2J\\r\\nfinetune: forged\\u202e" in result.out
    assert_harmless(result)


@pytest.mark.parametrize(
    "file",
    [
        {"status": HOSTILE},
        {"status": "error", "status_details": HOSTILE},
        {"id": HOSTILE},
        {"id": ""},
        {"id": "x" * 5000},
    ],
)
def test_the_texts_of_a_file_cannot_control_the_terminal(
    server: Server, finetune: Finetune, file: dict[str, Any]
) -> None:
    assert finetune("upload").code == 0
    next(iter(server.files.values())).update(file)
    server.statuses = [HOSTILE]
    result = finetune("upload", "--wait", "0.1", "--retries", "0")
    server.exchanges.clear()
    assert result.code == 1
    assert_harmless(result)


def test_the_names_of_models_cannot_control_the_terminal(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.models = {HOSTILE: {"id": HOSTILE, "object": "model", "created": 1}}
    result = finetune("train", "--model", "other", "--yes", "--retries", "0")
    assert (result.code, server.jobs) == (1, {})
    assert_harmless(result)
    server.exchanges.clear()


@pytest.mark.parametrize("value", [1e30, -1e30, float("nan"), "x", {}, [], True, None])
def test_absurd_times_and_sizes_are_ignored(
    server: Server, finetune: Finetune, value: object
) -> None:
    job = server.add_job()["id"]
    server.add_event(job, "step", created_at=value)
    server.jobs[job] |= {"created_at": value, "estimated_finish": value}
    assert finetune("watch", job, *QUICK).code == 0
    assert finetune("upload").code == 0
    for file in server.files.values():
        file["created_at"] = value
    assert finetune("upload").code == 0
    server.exchanges.clear()


@pytest.mark.parametrize("value", [{}, [], 5, None])
def test_statuses_of_a_wrong_type_cause_no_traceback(
    server: Server, finetune: Finetune, value: object
) -> None:
    assert finetune("upload").code == 0
    job = server.add_job(training_file=value, model=value, metadata=value)["id"]
    server.jobs[job]["status"] = value
    server.add_event(job, "step", level=value)
    server.events[job][-1]["message"] = value
    finetune("train", "--model", MODEL, "--yes", "--retries", "0")
    server.jobs[job] |= {"status": "succeeded", "fine_tuned_model": value}
    server.jobs[job] |= {"trained_tokens": value, "error": value}
    assert finetune("watch", job, *QUICK).code == 0
    server.exchanges.clear()


@pytest.mark.parametrize("torn", [b'{"id": "ftev', b"", b"\xff\n", b"[]\n", b'"x"\n'])
def test_a_torn_log_of_events_causes_no_traceback(
    server: Server, finetune: Finetune, folder: Path, torn: bytes
) -> None:
    job = server.add_job()["id"]
    log = folder / f".events-{job}.jsonl"
    log.write_bytes(torn)
    (folder / "jobs.jsonl").write_bytes(torn)
    first = finetune("watch", job, *QUICK)
    assert (first.code, first.err.count("  info  created")) == (0, 1)
    again = finetune("watch", job, *QUICK)
    assert (again.code, again.err.count("  info  ")) == (0, 0)
    lines = (folder / "jobs.jsonl").read_bytes().splitlines()
    assert [line for line in lines if line.startswith(b'{"endpoint"')] == lines[-1:]


@pytest.mark.parametrize(
    "torn", [b"", b'{"endpoint": "ht', b"\xff", b"[]", b'{"id": 5}', b"{}"]
)
def test_a_torn_note_of_an_upload_causes_no_traceback(
    server: Server, finetune: Finetune, folder: Path, torn: bytes
) -> None:
    (folder / ".upload-x.json").write_bytes(torn)
    result = finetune("upload")
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert not list(folder.glob(".upload-*"))


def test_no_log_is_written_through_a_planted_link(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    victim = folder.parent / "victim"
    victim.write_text("precious\n")
    job = server.add_job()["id"]
    for name in (f".events-{job}.jsonl", "jobs.jsonl"):
        (folder / name).symlink_to(victim)
        result = finetune("watch", job, *QUICK)
        assert (result.code, result.err.count("finetune: ")) == (1, 1)
        (folder / name).unlink()
        server.jobs[job]["status"] = "queued"
    assert victim.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (rb'"lines":12', b'"lines":"y"'),
        (rb'"lines":12', b'"lines":1.5'),
        (rb'"bytes":\d+', b'"bytes":null'),
        (rb'"sha256":"', b'"sha256":5,"x":"'),
        (rb'"files":\{', b'"files":[],"x":{'),
    ],
)
@pytest.mark.parametrize("command", ["upload", "check"])
def test_a_manifest_of_wrong_types_is_one_clear_line(
    server: Server,
    finetune: Finetune,
    tmp_path: Path,
    was: bytes,
    now: bytes,
    command: str,
) -> None:
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    path = tmp_path / "files" / "manifest.json"
    path.write_bytes(re.sub(was, now, path.read_bytes(), count=1))
    result = finetune(command)
    assert (result.code, server.requests) == (1, [])
    assert result.err == (
        "finetune: files/manifest.json: not a manifest of finetune export; run it "
        "again\n"
    )
