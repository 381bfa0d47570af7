"""Commands in processes of their own with a fault at one moment, and their results."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, NamedTuple

from tests.workspace import REPOSITORY, Workspace

_SECONDS = 60


class Ended(NamedTuple):
    """The result of a command, and its moments."""

    code: int
    stdout: str
    stderr: str
    moments: list[str]


class Runner:
    """A process whose forks are the commands; see warm.py."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.pid = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def close(self) -> None:
        with self._process:
            assert self._process.stdin
            self._process.stdin.close()

    def run(
        self,
        workspace: Workspace,
        *arguments: str,
        variables: dict[str, str] | None = None,
        do: str = "",
        moment: int = 0,
        limits: dict[str, int] | None = None,
        more_memory: int = 0,
        clock: float = 0,
        stdout: str = "",
        cold: bool = False,
    ) -> Ended:
        """Run a command; inject the fault `do` at the moment if one is given.

        `limits` are limits by their names in `resource`, `more_memory` is the number of
        bytes that the command may allocate after its start, and `clock` the offset of
        its clock in seconds.
        """
        with tempfile.TemporaryDirectory(dir=self._scratch) as name:
            scratch = Path(name)
            plan = {
                "folders": [str(workspace.folder)],
                "trace": str(scratch / "trace"),
                "do": do,
                "moment": moment,
            }
            request: dict[str, object] = {
                "arguments": arguments,
                "environment": workspace.environment | (variables or {}),
                "folder": str(workspace.folder),
                # A small limit would refuse the trace of the moments, too.
                "plan": None if limits else plan,
                "stdin": "/dev/null",
                "stdout": stdout or str(scratch / "out"),
                "limits": limits or {},
                "more_memory": more_memory,
                "clock": clock,
                "stderr": str(scratch / "err"),
            }
            code = self._cold(request) if cold else self._warm(request)
            texts = [
                path.read_text() if path.exists() else ""
                for path in (scratch / "out", scratch / "err", scratch / "trace")
            ]
        return Ended(code, texts[0], texts[1], texts[2].splitlines())

    def _warm(self, request: dict[str, object]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answers: IO[str] = self._process.stdout
        self.pid = int(answers.readline())
        watchdog = threading.Timer(_SECONDS, os.kill, (self.pid, signal.SIGKILL))
        watchdog.start()
        code = int(answers.readline())
        hung = not watchdog.is_alive()
        watchdog.cancel()
        assert not hung, f"{request['arguments']} did not end in {_SECONDS} s"
        return code

    @staticmethod
    def _cold(request: dict[str, object]) -> int:
        return subprocess.run(
            [sys.executable, "-m", "tests.faults.warm", "--cold", json.dumps(request)],
            cwd=REPOSITORY,
            check=False,
            timeout=_SECONDS,
        ).returncode
