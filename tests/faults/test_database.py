"""The database fails during a command: it ends the session, stops, dies, or hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.engines import embedded
from tests.faults.conftest import Results
from tests.faults.proxy import Proxy, cut, reset, stalls
from tests.faults.running import Runner
from tests.faults.subjects import Export, Load, Subject
from tests.faults.sweep import SIGNALS, run_without_fault, verdict
from tests.workspace import (
    REPOSITORY,
    MakeWorkspace,
    Workspace,
    open_folder,
)

MakeSubject = Callable[[str], Subject]


class Database:
    """A server that can be stopped, and two commands that use it."""

    def __init__(self, folder: Path, make: MakeWorkspace, runner: Runner) -> None:
        self._folder, self._runner = folder, runner
        self.variables = embedded.start(folder)
        self.socket = f"{self.variables['PGHOST']}/.s.PGSQL.5432"
        built = make(self.variables)
        assert not built.finetune(
            "load", REPOSITORY / "examples/products.csv"
        ).returncode
        built.build()
        self.subjects: list[Subject] = [
            Export(built, runner),
            Load(make(self.variables), runner),
        ]

    def terminate(self, *_: object) -> bool:
        """End every session but this one."""
        self._workspace().sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        return True

    def stop(self, *_: object) -> bool:
        # Only a main thread can defer signals, and this is another thread.
        stop = "import sys, pathlib; from exporter.engines import embedded;"
        stop += "embedded.stop(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", stop, self._folder], check=True)
        return True

    def kill(self, *_: object) -> bool:
        pid = int((self._folder / "data/postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        return True

    def stop_command(self, number: int) -> Callable[..., bool]:
        def stop(*_: object) -> bool:
            os.kill(self._runner.pid, number)
            return True

        return stop

    def heal(self) -> None:
        embedded.start(self._folder)

    def _workspace(self) -> Workspace:
        return self.subjects[1].workspace


@pytest.fixture(scope="module")
def database(make_workspace: MakeWorkspace, runner: Runner) -> Iterator[Database]:
    with open_folder() as folder:
        yield Database(folder / "s", make_workspace, runner)
        embedded.stop(folder / "s")


def places(size: int, count: int) -> list[int]:
    """Return numbers of bytes: the first, the last, and evenly in between."""
    return sorted({1, size, *(size * n // count for n in range(1, count))})


def sweep_bytes(
    database: Database,
    subject: Subject,
    kind: str,
    results: Results,
    *,
    count: int,
) -> int:
    """Inject the fault after each number of bytes, and check each result."""
    acts: dict[str, Callable[..., bool]] = {
        "connection cut": cut,
        "connection reset": reset,
        "connection stalls": stalls(lambda: subject.runner.pid, signal.SIGINT),
        "session terminated": database.terminate,
        "server stopped": database.stop,
        "server killed": database.kill,
        **{
            f"{name} while it waits for the server": database.stop_command(
                signal.Signals[name]
            )
            for name in SIGNALS
        },
    }
    do = "SIGINT" if kind == "connection stalls" else kind.partition(" ")[0]
    with Proxy(database.socket) as proxy:
        subject.variables = proxy.variables
        run_without_fault(subject)
    faults = []
    for after in places(proxy.passed, count):
        subject.prepare()
        with Proxy(database.socket, after=after, act=acts[kind]) as faulty:
            subject.variables = faulty.variables
            ended = subject.run()
        database.heal()
        with Proxy(database.socket) as healthy:
            subject.variables = healthy.variables
            # A command that ended before its fault had none.
            state, wrong = verdict(subject, ended, do if ended.code else kind, "")
        results.add(kind, subject, state)
        faults += [f"after {after} bytes: {wrong}"] * bool(wrong)
    assert not faults, f"{len(faults)} of {count}:\n" + "\n".join(faults)
    return len(faults)


KINDS = [
    "connection cut",
    "connection reset",
    "connection stalls",
    "session terminated",
    "server stopped",
    "server killed",
    *(f"{name} while it waits for the server" for name in SIGNALS),
]


@pytest.mark.faults
@pytest.mark.parametrize("place", [0, 1], ids=["export", "load"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failing_database_is_an_error_of_one_line_and_loses_nothing(
    database: Database, results: Results, kind: str, place: int
) -> None:
    sweep_bytes(database, database.subjects[place], kind, results, count=12)
