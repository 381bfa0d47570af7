"""The fault table: what the user sees, and what is at the endpoint afterwards.

After each fault the command runs again without it: then the file or the job exists,
and only once.
"""

import socket
from pathlib import Path

import pytest

from tests.endpoint.conftest import MODEL, Finetune, export
from tests.endpoint.server import Server

RETRY = ["--retries", "1"]
TRAIN = ["train", "--model", MODEL, "--yes", *RETRY]
PARTS = ["--parts-above", "0", "--part-size", "0.0007"]

REFUSALS = [400, 401, 403, 404, 413, 422]
TRANSIENT = [408, 409, 429, 500, 503]
UNANSWERED = ["lost", "slow", "not json", "html", "no id", "wrong type", "done 500"]

FILES = "POST /files"
CREATE = "POST /uploads"
PART = "POST /uploads/{upload_id}/parts"
COMPLETE = "POST /uploads/{upload_id}/complete"
JOBS = "POST /fine_tuning/jobs"

SAID = {
    "drop": "check the address in OPENAI_BASE_URL and run it again",
    400: "why",
    401: "the key is refused; set OPENAI_API_KEY to a key of this endpoint",
    403: "why; ask the provider for access",
    404: "why; check the name or id, and OPENAI_BASE_URL",
    408: "why",
    409: "why; wait until the other request is done",
    413: "Payload Too Large; send it in smaller pieces with --parts-above",
    422: "why",
    429: "why; too many requests or no credit left",
    500: "why; run it again later",
    503: "why; run it again later",
}


def hurry(kind: str | int) -> list[str]:
    """Return a short timeout if the server is slow on purpose."""
    return ["--timeout", "1"] if kind == "slow" else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Only a training file."""
    export(tmp_path / "files", [f"title {n}" for n in range(12)], [])
    return tmp_path / "files"


def test_the_error_names_an_endpoint_that_refuses_connections(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.url
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{port}/v1")
        result = finetune("upload", *RETRY)
    assert result.code == 1
    assert result.err == (
        f"finetune: http://127.0.0.1:{port}/v1: Connection refused, on listing the "
        "files; check the address in OPENAI_BASE_URL and run it again\n"
    )


@pytest.mark.parametrize("kind", [*REFUSALS, *TRANSIENT, "drop"])
@pytest.mark.parametrize("route", [FILES, CREATE, PART, COMPLETE])
def test_a_fault_while_sending_leaves_nothing_behind(
    server: Server, finetune: Finetune, folder: Path, route: str, kind: str | int
) -> None:
    server.fail(route, kind)
    options = [] if route == FILES else PARTS
    result = finetune("upload", *options, *RETRY)
    assert (result.code, result.out, server.files) == (1, "", {})
    assert SAID[kind] in result.err
    assert server.open_uploads() == []
    assert not list(folder.glob(".upload-*"))
    server.faults.clear()
    assert finetune("upload", *options).out.split() == list(server.files)
    assert len(server.files) == 1


@pytest.mark.parametrize("kind", TRANSIENT)
@pytest.mark.parametrize("route", [FILES, CREATE, PART, COMPLETE])
def test_a_transient_fault_is_retried_silently(
    server: Server, finetune: Finetune, route: str, kind: int
) -> None:
    server.fail(route, kind, 1)
    options = [] if route == FILES else PARTS
    result = finetune("upload", *options, *RETRY)
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 1
    assert server.open_uploads() == []


@pytest.mark.parametrize("kind", UNANSWERED)
@pytest.mark.parametrize("route", [FILES, COMPLETE])
def test_a_file_whose_answer_was_lost_is_found_instead_of_sent_again(
    server: Server, finetune: Finetune, route: str, kind: str
) -> None:
    server.fail(route, kind)
    options = [] if route == FILES else PARTS
    result = finetune("upload", *options, *RETRY, *hurry(kind))
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 1
    assert server.requests.count(route) == 1
    assert server.open_uploads() == []


@pytest.mark.parametrize("kind", UNANSWERED)
def test_an_upload_whose_id_was_lost_is_the_only_one_left_to_expire(
    server: Server, finetune: Finetune, kind: str
) -> None:
    # Uploads cannot be listed, so it cannot be cancelled; it expires after an hour.
    server.fail(CREATE, kind, 1)
    result = finetune("upload", *PARTS, *RETRY, *hurry(kind))
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 1
    assert server.open_uploads() == [next(iter(server.uploads))]


@pytest.mark.parametrize("kind", ["lost", "slow"])
def test_a_part_whose_answer_was_lost_is_sent_again(
    server: Server, finetune: Finetune, folder: Path, kind: str
) -> None:
    server.fail(PART, kind, 1)
    result = finetune("upload", *PARTS, *RETRY, *hurry(kind))
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 1
    assert server.open_uploads() == []
    assert folder.exists()


@pytest.mark.parametrize("options", [[], ["--parts-above", "0"]])
def test_a_connection_that_breaks_within_the_body_is_retried(
    server: Server, finetune: Finetune, folder: Path, options: list[str]
) -> None:
    export(folder, [f"title {n}" for n in range(12)], [], text="x" * (1 << 20))
    server.fail(PART if options else FILES, "drop mid body", 1)
    result = finetune("upload", *options, "--retries", "1")
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 1
    assert server.requests.count(PART if options else FILES) == 2


def test_a_connection_that_always_breaks_within_the_body_is_an_error(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    export(folder, [f"title {n}" for n in range(12)], [], text="x" * (1 << 20))
    server.fail(FILES, "drop mid body")
    result = finetune("upload", "--retries", "1")
    assert (result.code, server.files) == (1, {})
    assert server.requests.count(FILES) == 2
    assert "on sending train.jsonl" in result.err


@pytest.mark.parametrize("kind", [*REFUSALS, *TRANSIENT, "drop", "html", "no id"])
def test_nothing_is_sent_if_the_files_cannot_be_listed(
    server: Server, finetune: Finetune, kind: str | int
) -> None:
    server.fail("GET /files", kind)
    result = finetune("upload", *RETRY)
    assert (result.code, result.out, server.files) == (1, "", {})
    assert FILES not in server.requests
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("kind", [*REFUSALS, *TRANSIENT, "drop"])
def test_a_fault_while_creating_a_job_creates_none(
    server: Server, finetune: Finetune, kind: str | int
) -> None:
    finetune("upload")
    server.fail(JOBS, kind)
    result = finetune(*TRAIN)
    assert (result.code, result.out, server.jobs) == (1, "", {})
    assert SAID[kind] in result.err
    assert server.requests.count(JOBS) == 1
    server.faults.clear()
    assert finetune(*TRAIN).out.split() == list(server.jobs)
    assert len(server.jobs) == 1


@pytest.mark.parametrize("again", [[], ["--again"]])
@pytest.mark.parametrize("kind", UNANSWERED)
def test_a_job_whose_answer_was_lost_is_found_instead_of_created_again(
    server: Server, finetune: Finetune, kind: str, again: list[str]
) -> None:
    finetune("upload")
    if again:
        finetune(*TRAIN)
    server.fail(JOBS, kind)
    result = finetune(*TRAIN, *again, *hurry(kind))
    assert (result.code, result.out.split()) == (0, list(server.jobs)[-1:])
    assert len(server.jobs) == server.requests.count(JOBS) == 1 + len(again)


@pytest.mark.parametrize("kind", [500, "drop", "html", "no id"])
def test_no_job_is_created_if_the_jobs_cannot_be_listed(
    server: Server, finetune: Finetune, kind: str | int
) -> None:
    finetune("upload")
    server.fail("GET /fine_tuning/jobs", kind)
    result = finetune(*TRAIN)
    assert (result.code, result.out, server.jobs) == (1, "", {})
    assert JOBS not in server.requests


def test_a_job_that_cannot_be_found_at_once_is_found_by_the_next_call(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    server.fail(JOBS, "lost")
    server.fail("GET /fine_tuning/jobs", "none", 1)  # The first listing succeeds.
    server.fail("GET /fine_tuning/jobs", 500)
    result = finetune(*TRAIN)
    assert (result.code, len(server.jobs)) == (1, 1)
    assert "finetune train looks for it before it creates one" in result.err
    server.faults.clear()
    assert finetune(*TRAIN).out.split() == list(server.jobs)
    assert len(server.jobs) == 1
