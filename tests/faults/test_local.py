"""The embedded server under a command that is killed or stopped at every moment."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Results
from tests.faults.running import Runner
from tests.faults.subjects import NEW, OLD, Subject
from tests.faults.sweep import SIGNALS, sweep
from tests.workspace import Workspace, clean_environment, open_folder


class Local(Subject):
    """A program on the embedded server, which stops after the last command."""

    name = "local run"
    arguments = ("local", "run", "--", "sh", "-c", "sleep 0.1; echo new > done")

    def prepare(self) -> None:
        (self.workspace.folder / "done").unlink(missing_ok=True)
        if self.servers():
            self.runner.run(self.workspace, "local", "stop")
        assert not self.servers()

    def state(self) -> str:
        return NEW if (self.workspace.folder / "done").exists() else OLD

    def servers(self) -> list[str]:
        """Return the processes whose working folder is this one."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"{self.workspace.folder}/" in line and "postgres" in line:
                found.append(line.replace("\0", " "))
        return found

    def left_over(self) -> list[str]:
        # The processes of a stopped server need a moment to end.
        deadline = time.monotonic() + 5
        while self.servers() and time.monotonic() < deadline:
            time.sleep(0.05)
        sockets = [str(p) for p in self.workspace.folder.rglob(".s.PGSQL.*")]
        return [*super().left_over(), *self.servers(), *sockets]


@pytest.fixture(scope="module")
def local(runner: Runner) -> Iterator[Local]:
    with open_folder() as folder:
        subject = Local(Workspace(folder, clean_environment()), runner)
        assert subject.run().code == 0
        yield subject
        runner.run(subject.workspace, "local", "stop")


@pytest.mark.faults
@pytest.mark.parametrize("do", SIGNALS)
def test_a_stopped_command_leaves_no_server_behind(
    local: Local, results: Results, do: str
) -> None:
    assert sweep(local, do, results) >= 5
    assert signal.Signals[do]
