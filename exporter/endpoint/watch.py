"""The events of a job, each shown once, until the job ends."""

import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from exporter.display import visible
from exporter.endpoint.client import Endpoint
from exporter.endpoint.errors import NoAnswerError, number, status_of
from exporter.endpoint.jobs import WITHOUT_MODEL
from exporter.files import append
from exporter.progress import say
from exporter.signals import defer_stops

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob

# With any other status, known or not, the job still runs.
_ENDED = {"succeeded", *WITHOUT_MODEL}
# The keys of an ended job in jobs.jsonl, besides its endpoint, id and error.
_OUTCOME = (
    *("status", "model", "fine_tuned_model", "trained_tokens", "created_at"),
    *("finished_at", "training_file", "validation_file", "metadata"),
)
_MAX_PAUSE = 60.0
_PAGE = 100


class _ShownEvent(NamedTuple):
    """The shown parts of an event; the endpoint's object may be of any size."""

    created_at: float
    id: str
    line: str
    message: str


def follow(
    endpoint: Endpoint, job_id: str, *, folder: Path, interval: float
) -> "FineTuningJob":
    """Show the job's events as they come, and return the job when it has ended.

    The folder keeps the events that were shown in .events-JOB.jsonl, so that a later
    call shows only new ones. Polls every `interval` seconds; while there is no answer,
    less and less often, but it never gives up.

    Raises:
        FinetuneError: The endpoint refuses, such as when there is no such job.
    """
    log = folder / f".events-{job_id}.jsonl"
    shown = {str(event.get("id")) for event in _read_log(log)}
    jobs = endpoint.retrying.fine_tuning.jobs
    status, pause, failing = None, interval, False
    while True:
        try:
            job = endpoint.call(f"retrieving {job_id}", lambda: jobs.retrieve(job_id))
            if not status_of(job):
                raise endpoint.invalid_answer(f"retrieving {job_id}")
            events = _new_events(endpoint, job_id, shown)
        except NoAnswerError as error:
            if not failing:
                say(f"{error}; still trying")
            failing, pause = True, min(2 * pause, max(interval, _MAX_PAUSE))
            time.sleep(pause)
            continue
        failing, pause = False, interval
        for event in events:
            # Else an event that was shown before a stop is shown again after it.
            with defer_stops():
                say(event.line)
                _append_to_log(log, {"id": event.id, "message": event.message})
            shown.add(event.id)
        if endpoint.redact(job.status) != status:
            status = endpoint.redact(job.status)
            say(f"{job_id} is {status}{_estimate(job)}")
        if status_of(job) in _ENDED:
            return job
        time.sleep(interval)


def record_outcome(
    endpoint: Endpoint, job: "FineTuningJob", folder: Path
) -> dict[str, Any]:
    """Add the outcome to jobs.jsonl in the folder, once, and return it."""
    error = endpoint.redact(getattr(getattr(job, "error", None), "message", None))
    outcome: dict[str, Any] = {"endpoint": endpoint.name, "job": job.id}
    outcome["error"] = error or None
    outcome |= {name: _storable(getattr(job, name, None)) for name in _OUTCOME}
    outcome["status"] = status_of(job)
    path = folder / "jobs.jsonl"
    if outcome not in _read_log(path):
        _append_to_log(path, outcome)
    return outcome


def _new_events(endpoint: Endpoint, job_id: str, shown: set[str]) -> list[_ShownEvent]:
    """Return the events that were not shown yet, oldest first."""
    events: list[_ShownEvent] = []
    jobs = endpoint.retrying.fine_tuning.jobs
    found = endpoint.paginate(
        f"listing the events of {job_id}", lambda: jobs.list_events(job_id, limit=_PAGE)
    )
    for count, event in enumerate(found, 1):
        if event.id not in shown:
            message = endpoint.redact(event.message)
            level = endpoint.redact(event.level)
            line = f"{_utc(event.created_at)}  {level}  {message}"
            events.append(
                _ShownEvent(number(event.created_at), event.id, line, message)
            )
        elif count >= _PAGE:
            break  # The newest come first, so all that follow were shown.
    events.reverse()
    return sorted(events, key=lambda event: event.created_at)


def _read_log(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a log, except lines torn by a crash."""
    values = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError):
            value = orjson.loads(line)
            values += [value] if isinstance(value, dict) else []
    return values


def _append_to_log(path: Path, value: dict[str, Any]) -> None:
    append(path, orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def _storable(value: object) -> object:
    """Return a foreign value as it is, or as text if JSON in UTF-8 cannot hold it."""
    try:
        orjson.dumps(value)
    except TypeError:
        return visible(value)
    return value


def _utc(seconds: object) -> str:
    if not number(seconds):
        return " " * 19
    time_ = datetime.fromtimestamp(number(seconds), timezone.utc)
    return time_.strftime("%Y-%m-%d %H:%M:%S")


def _estimate(job: "FineTuningJob") -> str:
    end = getattr(job, "estimated_finish", None)
    return f", to end at about {_utc(end)} UTC" if end else ""
