"""A job followed by its events, each once, until it ends."""

import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from exporter.endpoint.client import Endpoint, NoAnswerError, number
from exporter.endpoint.jobs import WITHOUT_MODEL
from exporter.files import append
from exporter.progress import say

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

# Any other status, known or not, is one of a job that goes on.
_ENDED = {"succeeded", *WITHOUT_MODEL}
# What is recorded of a job that has ended, besides its endpoint, id and error.
_OUTCOME = (
    *("status", "model", "fine_tuned_model", "trained_tokens", "created_at"),
    *("finished_at", "training_file", "validation_file", "metadata"),
)
_LONGEST_PAUSE = 60.0
_PAGE = 100


class _Event(NamedTuple):
    """What is shown of an event; the endpoint's own object may be of any size."""

    created_at: float
    id: str
    line: str
    message: str


def follow(
    endpoint: Endpoint, job_id: str, *, folder: Path, interval: float
) -> "FineTuningJob":
    """Say the job's events as they come and return the job when it has ended.

    The events said are kept in the folder, in .events-JOB.jsonl, so that a
    later call goes on after them. Looks every `interval` seconds; as long as
    there is no answer, more and more seldom; it never gives up.

    Raises:
        FinetuneError: The endpoint refuses, such as when there is no such job.
    """
    log = folder / f".events-{job_id}.jsonl"
    said = {str(event.get("id")) for event in _values(log)}
    jobs = endpoint.patient.fine_tuning.jobs
    status, pause, lost = None, interval, False
    while True:
        try:
            job = endpoint.ask(f"looking at {job_id}", jobs.retrieve, job_id)
            events = _new_events(endpoint, job_id, said)
        except NoAnswerError as error:
            if not lost:
                say(f"{error}; still trying")
            lost, pause = True, min(2 * pause, max(interval, _LONGEST_PAUSE))
            time.sleep(pause)
            continue
        lost, pause = False, interval
        for event in events:
            say(event.line)
            said.add(event.id)
            _append(log, {"id": event.id, "message": event.message})
        if endpoint.clean(job.status) != status:
            status = endpoint.clean(job.status)
            say(f"{job_id} is {status}{_estimate(job)}")
        if status in _ENDED:
            return job
        time.sleep(interval)


def record(endpoint: Endpoint, job: "FineTuningJob", folder: Path) -> dict[str, Any]:
    """Add the outcome to jobs.jsonl in the folder, once, and return it."""
    error = endpoint.clean(getattr(getattr(job, "error", None), "message", None))
    outcome = {"endpoint": endpoint.name, "job": job.id, "error": error or None}
    outcome |= {name: getattr(job, name, None) for name in _OUTCOME}
    path = folder / "jobs.jsonl"
    if outcome not in _values(path):
        _append(path, outcome)
    return outcome


def _new_events(endpoint: Endpoint, job_id: str, said: set[str]) -> list[_Event]:
    """Return the events not said yet, oldest first."""
    events: list[_Event] = []
    listing = endpoint.patient.fine_tuning.jobs.list_events
    doing = f"listing the events of {job_id}"
    found = endpoint.listed(doing, listing, job_id, limit=_PAGE)
    for place, event in enumerate(found, 1):
        if event.id not in said:
            message, level = endpoint.clean(event.message), endpoint.clean(event.level)
            line = f"{_clock(event.created_at)}  {level}  {message}"
            events.append(_Event(number(event.created_at), event.id, line, message))
        elif place >= _PAGE:
            break  # The newest come first, and these are old.
    events.reverse()
    return sorted(events, key=lambda event: event.created_at)


def _values(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a log, without the lines that a crash tore."""
    values = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError):
            value = orjson.loads(line)
            values += [value] if isinstance(value, dict) else []
    return values


def _append(path: Path, value: dict[str, Any]) -> None:
    append(path, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _clock(seconds: object) -> str:
    if not number(seconds):
        return " " * 19
    moment = datetime.fromtimestamp(number(seconds), timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _estimate(job: "FineTuningJob") -> str:
    end = getattr(job, "estimated_finish", None)
    return f", to end at about {_clock(end)} UTC" if end else ""
