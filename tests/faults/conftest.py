"""A process that forks the commands, their subjects, and a table of the results."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.endpoint.server import Server
from tests.faults import subjects
from tests.faults.running import Runner
from tests.workspace import MakeWorkspace

# `make faults` sets the folder; each result is a line of a file there.
FOLDER = "FINETUNE_FAULTS_FOLDER"


class Results:
    """The state after each fault, by its kind and the command."""

    def __init__(self, folder: str | None) -> None:
        self._path = Path(folder, f"{os.getpid()}.jsonl") if folder else None

    def add(self, kind: str, subject: subjects.Subject, state: str) -> None:
        """Write a result at once, so that a stopped run keeps its results."""
        row = {"kind": kind.removeprefix("SIG"), "command": subject.name, state: 1}
        if self._path:
            with self._path.open("a") as file:
                file.write(json.dumps(row) + "\n")


@pytest.fixture(scope="session")
def results() -> Results:
    return Results(os.environ.get(FOLDER))


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    warm = Runner(tmp_path_factory.mktemp("runner"))
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def endpoint() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="session")
def make_subject(
    request: pytest.FixtureRequest,
    runner: Runner,
    make_workspace: MakeWorkspace,
    endpoint: Server,
) -> Callable[[str], subjects.Subject]:
    """Return a function that makes the subject of a name once."""
    made: dict[str, subjects.Subject] = {}

    def make(name: str) -> subjects.Subject:
        if name not in made:
            made[name] = _made(name)
        return made[name]

    def _made(name: str) -> subjects.Subject:
        kind = subjects.SUBJECTS[name]
        if kind in (subjects.Export, subjects.Report):
            return kind(request.getfixturevalue("built_sample"), runner)
        if issubclass(kind, subjects.Upload):
            return kind(make_workspace(), runner, endpoint)
        return kind(make_workspace(), runner)

    return make
