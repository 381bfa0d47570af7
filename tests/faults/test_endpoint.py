"""Each request of each command fails, or a signal comes during it."""

import os
import signal
import threading
from collections.abc import Callable

import pytest

from tests.endpoint.handler import Fault
from tests.endpoint.server import Server
from tests.faults.conftest import Results
from tests.faults.subjects import Subject, Train, Upload, UploadInParts
from tests.faults.sweep import SIGNALS, run_without_fault, verdict

MakeSubject = Callable[[str], Subject]

# The names are those in tests/endpoint/handler.py.
KINDS = ["drop", "drop mid body", "lost", "slow", "not json", "html", "no id"]
KINDS += ["wrong type", "done 500"]
STATUSES = [401, 403, 404, 409, 413, 429, 500, 503]
COMMANDS = [Upload.name, UploadInParts.name, Train.name]


def at_request(
    server: Server, requests: list[str], place: int, kind: str | int
) -> None:
    """Let the n-th of these requests fail once."""
    route = requests[place]
    earlier = requests[:place].count(route)
    # The requests before it get an empty fault.
    server.faults[:] = [Fault(route, "none", earlier), Fault(route, kind, 1)]


def sweep_requests(subject: Subject, kind: str | int, results: Results) -> None:
    assert isinstance(subject, Upload)
    run_without_fault(subject)
    requests = [*subject.server.requests]
    faults = []
    for place, route in enumerate(requests):
        subject.prepare()
        at_request(subject.server, requests, place, kind)
        ended = subject.run_with("--timeout", "1", "--retries", "1")
        subject.server.faults.clear()
        state, wrong = verdict(subject, ended, "request", "")
        name = f"answer {kind}" if isinstance(kind, int) else f"answer: {kind}"
        results.add(name, subject, state)
        faults += [f"at {place}, {route}: {wrong}"] * bool(wrong)
    assert requests
    assert not faults, f"{len(faults)} of {len(requests)}:\n" + "\n".join(faults)


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", [*KINDS, *STATUSES])
def test_a_wrong_answer_creates_nothing_twice(
    make_subject: MakeSubject, results: Results, command: str, kind: str | int
) -> None:
    sweep_requests(make_subject(command), kind, results)


@pytest.mark.faults
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("do", SIGNALS)
def test_a_stop_during_any_request_creates_nothing_twice(
    make_subject: MakeSubject, results: Results, command: str, when: str, do: str
) -> None:
    subject = make_subject(command)
    assert isinstance(subject, Upload)
    run_without_fault(subject)
    server, requests = subject.server, [*subject.server.requests]
    faults = []
    for place, route in enumerate(requests):
        subject.prepare()
        at_request(server, requests, place, f"hold {when}")
        hits = threading.Thread(target=interrupt, args=(subject, signal.Signals[do]))
        hits.start()
        ended = subject.run()
        hits.join()
        server.faults.clear()
        state, wrong = verdict(subject, ended, do, "")
        results.add(f"{do} {when} an answer", subject, state)
        faults += [f"at {place}, {route}: {wrong}"] * bool(wrong)
    assert not faults, f"{len(faults)} of {len(requests)}:\n" + "\n".join(faults)


def interrupt(subject: Upload, number: int) -> None:
    """Send the signal as soon as the command waits for its answer."""
    assert subject.server.reached.wait(20)
    os.kill(subject.runner.pid, number)
