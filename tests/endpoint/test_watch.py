"""Following a job: its events, its end, and failures in between."""

import threading
from pathlib import Path

import orjson
import pytest

from tests.endpoint.conftest import Finetune
from tests.endpoint.server import Server

JOB = "GET /fine_tuning/jobs/{fine_tuning_job_id}"
EVENTS = f"{JOB}/events"
QUICK = ["--interval", "0.01", "--retries", "0"]


def messages(err: str) -> list[str]:
    """Return the messages of the shown events."""
    return [line.split("  ")[2] for line in err.splitlines() if "  info  " in line]


def test_a_job_that_succeeds_ends_with_its_model_and_tokens(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    job = server.add_job(metadata={"dataset_sha256": "0"})
    result = finetune("watch", job["id"], *QUICK)
    assert (result.code, result.out) == (0, f"ft:{job['model']}:org::1\n")
    assert messages(result.err) == ["created", "now running", "now succeeded"]
    assert result.err.endswith(f"ft:{job['model']}:org::1: 12,345 tokens trained\n")
    assert orjson.loads((folder / "jobs.jsonl").read_bytes()) == {
        "endpoint": server.url,
        "job": job["id"],
        "status": "succeeded",
        "model": job["model"],
        "fine_tuned_model": f"ft:{job['model']}:org::1",
        "trained_tokens": 12345,
        "error": None,
        "created_at": job["created_at"],
        "finished_at": job["finished_at"],
        "training_file": "file-1",
        "validation_file": None,
        "metadata": {"dataset_sha256": "0"},
    }


def test_an_outcome_is_written_once(
    server: Server, finetune: Finetune, folder: Path
) -> None:
    job = server.add_job()["id"]
    first, second = finetune("watch", job, *QUICK), finetune("watch", job, *QUICK)
    assert first.out == second.out
    assert len((folder / "jobs.jsonl").read_bytes().splitlines()) == 1


@pytest.mark.parametrize("value", ["\ud800", 1 << 70, {"a": "\ud800"}, [1 << 70]])
def test_an_outcome_of_any_value_is_written_once(
    server: Server, finetune: Finetune, folder: Path, value: object
) -> None:
    job = server.add_job(trained_tokens=value, model=value, metadata=value)["id"]
    server.jobs[job] |= {"status": "succeeded", "fine_tuned_model": value}
    results = [finetune("watch", job, *QUICK) for _ in range(2)]
    assert [result.code for result in results] == [0, 0]
    [line] = (folder / "jobs.jsonl").read_bytes().splitlines()
    assert orjson.loads(line)["job"] == job
    server.exchanges.clear()


def test_a_succeeded_job_whose_model_has_no_name_prints_none(
    server: Server, finetune: Finetune
) -> None:
    job = server.add_job()["id"]
    server.jobs[job]["status"] = "succeeded"
    result = finetune("watch", job, *QUICK)
    assert (result.code, result.out) == (0, "")
    assert "a model without a name: an unknown number of tokens" in result.err


@pytest.mark.parametrize("status", [None, "", 5, [], {"a": 1}])
def test_a_job_without_a_status_is_asked_for_again(
    server: Server, finetune: Finetune, status: object
) -> None:
    job = server.add_job()["id"]
    server.jobs[job]["status"] = status
    later = threading.Timer(0.2, server.jobs[job].update, [{"status": "succeeded"}])
    later.start()
    result = finetune("watch", job, *QUICK)
    assert result.code == 0
    assert result.err.count("is not what OpenAI's API answers") == 1
    assert result.err.endswith("tokens trained\n")
    server.exchanges.clear()


@pytest.mark.parametrize("end", ["failed", "cancelled", "canceled", "FAILED"])
def test_a_job_that_ends_without_a_model_exits_with_1(
    server: Server, finetune: Finetune, folder: Path, end: str
) -> None:
    server.course = ["running", end]
    job = server.add_job()["id"]
    result = finetune("watch", job, *QUICK)
    why = f"{end.lower()}{': bad data' if end == 'failed' else ''}"
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith(
        f"finetune: {job}: {why}; fix the data or the options and train again\n"
    )
    assert orjson.loads((folder / "jobs.jsonl").read_bytes())["status"] == end.lower()
    server.exchanges.clear()  # The description spells cancelled with two l.


def test_a_job_may_end_in_capitals(server: Server, finetune: Finetune) -> None:
    server.course = ["Running", "Succeeded"]
    job = server.add_job()["id"]
    assert finetune("watch", job, *QUICK).code == 0
    server.exchanges.clear()


def test_more_events_than_a_page_come_in_order(
    server: Server, finetune: Finetune
) -> None:
    job = server.add_job()["id"]
    for number in range(250):
        server.add_event(job, f"step {number}", created_at=1_795_000_100)
    result = finetune("watch", job, *QUICK)
    steps = [message for message in messages(result.err) if message.startswith("step")]
    assert steps == [f"step {number}" for number in range(250)]


def test_events_are_shown_once_across_calls(server: Server, finetune: Finetune) -> None:
    job = server.add_job()["id"]
    for number in range(130):
        server.add_event(job, f"step {number}")
    server.fail(JOB, "none", 1)
    server.fail(JOB, 401)
    first = finetune("watch", job, *QUICK)
    assert first.code == 1
    server.faults.clear()
    server.add_event(job, "last step")
    second = finetune("watch", job, *QUICK)
    expected = [event["message"] for event in server.events[job]]
    assert messages(first.err) + messages(second.err) == expected


@pytest.mark.parametrize("route", [JOB, EVENTS])
@pytest.mark.parametrize(
    "kind", [429, 500, 503, 409, "drop", "lost", "html", "not json", "no id"]
)
def test_a_watch_waits_for_an_endpoint_that_fails_for_a_while(
    server: Server, finetune: Finetune, route: str, kind: str | int
) -> None:
    job = server.add_job()["id"]
    server.fail(route, "none", 1)
    server.fail(route, kind, 3)
    result = finetune("watch", job, *QUICK)
    assert result.code == 0
    assert messages(result.err) == ["created", "now running", "now succeeded"]
    assert result.err.count("; still trying\n") == 1


@pytest.mark.parametrize(
    ("kind", "words"), [(401, "the key is refused"), (403, "why"), (404, "why")]
)
def test_a_refusal_ends_the_watch(
    server: Server, finetune: Finetune, kind: int, words: str
) -> None:
    job = server.add_job()["id"]
    server.fail(JOB, kind)
    result = finetune("watch", job, *QUICK)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert words in result.err


def test_unknown_statuses_are_shown_and_the_watch_goes_on(
    server: Server, finetune: Finetune
) -> None:
    server.course = ["pending", "paused", "resting", "running", "succeeded"]
    job = server.add_job()["id"]
    result = finetune("watch", job, *QUICK)
    assert result.code == 0
    for status in server.course:
        assert f"{job} is {status}" in result.err
    server.exchanges.clear()  # They are not in OpenAI's description.


def test_an_event_cannot_control_the_terminal(
    server: Server, finetune: Finetune
) -> None:
    job = server.add_job()["id"]
    server.add_event(job, "\x1b[2Jred\nherring\x07")
    result = finetune("watch", job, *QUICK)
    assert "[2Jred herring" in result.err
    assert "\x1b" not in result.err


@pytest.mark.parametrize("job", ["../x", "a/b", ".x", ""])
def test_an_invalid_job_id_is_wrong_usage(
    server: Server, finetune: Finetune, job: str
) -> None:
    assert finetune("watch", job).code == 2
    assert server.requests == []


def test_a_job_can_be_watched_without_the_files(
    server: Server, finetune: Finetune, tmp_path: Path
) -> None:
    job = server.add_job()["id"]
    result = finetune("watch", job, *QUICK, "-o", str(tmp_path / "new"))
    assert result.code == 0
    assert (tmp_path / "new" / "jobs.jsonl").exists()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the seconds of each sleep instead of sleeping."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def test_a_watch_outlasts_any_failure_and_polls_at_least_once_a_minute(
    server: Server, finetune: Finetune, pauses: list[float]
) -> None:
    job = server.add_job()["id"]
    server.fail(JOB, 500, 1100)
    result = finetune("watch", job, "--interval", "8", "--retries", "0")
    assert (result.code, result.err.count("; still trying\n")) == (0, 1)
    assert pauses[:5] == [16, 32, 60, 60, 60]
    assert {*pauses[5:1100]} == {60}
    # Then one pause after each request that finds the job running.
    assert pauses[1100:] == [8, 8]


def test_a_failure_does_not_shorten_a_long_interval(
    server: Server, finetune: Finetune, pauses: list[float]
) -> None:
    job = server.add_job()["id"]
    server.fail(JOB, 500, 2)
    assert finetune("watch", job, "--interval", "90", "--retries", "0").code == 0
    assert pauses == [90, 90, 90, 90]


def test_one_page_is_requested_if_its_events_were_shown(
    server: Server, finetune: Finetune
) -> None:
    server.page = 100
    job = server.add_job()["id"]
    for number in range(250):
        server.add_event(job, f"step {number}")
    assert finetune("watch", job, *QUICK).code == 0
    server.requests.clear()
    assert finetune("watch", job, *QUICK).code == 0
    assert server.requests == [JOB, EVENTS]


def test_an_event_without_a_time_is_aligned_with_the_others(
    server: Server, finetune: Finetune
) -> None:
    job = server.add_job()["id"]
    server.add_event(job, "timeless", created_at=None)
    lines = finetune("watch", job, *QUICK).err.splitlines()
    server.exchanges.clear()  # The description requires a time.
    places = {line.index("  info  ") for line in lines if "  info  " in line}
    assert places == {19}
    assert f"{' ' * 19}  info  timeless" in lines
