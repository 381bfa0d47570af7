"""The database fails in the middle: it ends the session, stops, dies, is silent."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from exporter.engines import embedded
from tests.faults.conftest import Ledger
from tests.faults.proxy import Proxy, cut, reset, stalls
from tests.faults.running import Runner
from tests.faults.subjects import Export, Load, Subject
from tests.faults.sweep import SIGNALS, dry_run, judged
from tests.workspace import (
    REPOSITORY,
    MakeWorkspace,
    Workspace,
    open_folder,
)

MakeSubject = Callable[[str], Subject]


class Database:
    """A server of its own, which may be stopped, and two commands that use it."""

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
        """End every session but the one that does it."""
        self._workspace().sql(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        return True

    def stop(self, *_: object) -> bool:
        # Signals can be held back by a main thread alone, and this is another.
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
    """Return bytes to strike at: the first, the last, and evenly in between."""
    return sorted({1, size, *(size * n // count for n in range(1, count))})


def sweep_bytes(
    database: Database,
    subject: Subject,
    kind: str,
    ledger: Ledger,
    *,
    count: int,
) -> int:
    """Let it happen after each of so many numbers of bytes; judge each."""
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
        dry_run(subject)
    faults = []
    for after in places(proxy.passed, count):
        subject.prepare()
        with Proxy(database.socket, after=after, act=acts[kind]) as struck:
            subject.variables = struck.variables
            ended = subject.run()
        database.heal()
        with Proxy(database.socket) as healthy:
            subject.variables = healthy.variables
            # A command that was done before it was struck is one without a fault.
            state, wrong = judged(subject, ended, do if ended.code else kind, "")
        ledger.add(kind, subject, state)
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
def test_a_database_that_fails_is_one_clear_line_and_loses_nothing(
    database: Database, ledger: Ledger, kind: str, place: int
) -> None:
    sweep_bytes(database, database.subjects[place], kind, ledger, count=12)
