"""Run programs and keep what they cost: seconds, processors, memory."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from exporter.engines import embedded

Command = Sequence[str | Path]

_TICKS = os.sysconf("SC_CLK_TCK")


class Run(NamedTuple):
    """Wall seconds, CPU seconds of client and server, and their peaks in MB."""

    wall: float
    cpu: float
    server_cpu: float
    client_mb: float
    server_mb: float


class Measured:
    """Measurements by number of rows, shape and name, kept in a file."""

    def __init__(self, folder: Path, *, resume: bool) -> None:
        self.folder = folder
        self.output = folder / "out"
        self.said = folder / "said.txt"
        self._runs: dict[str, list[Run]] = {}
        if resume:
            kept = json.loads((folder / "measured.json").read_bytes())
            self._runs = {k: [Run(**run) for run in runs] for k, runs in kept.items()}

    def runs(self, rows: int, shape: str, name: str) -> list[Run]:
        """Return the runs of a measurement, which may be none."""
        return self._runs.get(f"{rows} {shape} {name}", [])

    def named(self, shape: str, name: str) -> list[int]:
        """Return the numbers of rows for which a measurement exists."""
        keys = [key.split(" ", 2) for key in self._runs]
        return [int(rows) for rows, *rest in keys if rest == [shape, name]]

    def names(self, rows: int) -> list[str]:
        """Return the names of the measurements for a number of rows."""
        keys = [key.split(" ", 2) for key in self._runs]
        return [name for found, _, name in keys if int(found) == rows]

    def keep(self, rows: int, shape: str, name: str, run: Run) -> Run:
        """Add a run, save all runs and print it."""
        self._runs.setdefault(f"{rows} {shape} {name}", []).append(run)
        kept = {key: [run._asdict() for run in r] for key, r in self._runs.items()}
        (self.folder / "measured.json").write_text(json.dumps(kept, indent=1))
        print(
            f"{rows:9,} {shape:4} {name:28} {run.wall:7.2f} s "
            f"cpu {run.cpu:6.2f} + {run.server_cpu:6.2f} "
            f"{run.client_mb:6.0f} + {run.server_mb:4.0f} MB",
            flush=True,
        )
        return run

    def measure(self, rows: int, shape: str, name: str, command: Command) -> Run:
        """Run a program that may write into `output`; keep what it cost."""
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()
        return self.keep(rows, shape, name, self.run(name, command))

    def run(self, name: str, command: Command) -> Run:
        """Run a program to its end, and return what it cost.

        Raises:
            SystemExit: It failed.
        """
        os.sync()
        peak = [0.0]
        over = threading.Event()
        watcher = threading.Thread(target=_watch_backends, args=(peak, over))
        watcher.start()
        before, started = _server_cpu(), time.perf_counter()
        with self.said.open("wb") as said:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        watcher.join()
        # `check` ends with 1 where a reader would refuse the file.
        if process.returncode not in {0, int("check" in command)}:
            sys.exit(f"{name}: {self.said.read_text()}")
        return Run(
            wall,
            usage.ru_utime + usage.ru_stime,
            _server_cpu() - before,
            usage.ru_maxrss / 1024,
            peak[0],
        )


def psql(*statements: str) -> str:
    """Run statements, each by itself; return what they answer."""
    arguments = [part for statement in statements for part in ("-c", statement)]
    return subprocess.run(
        [embedded.psql(), "-XqAt", *arguments],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def _postmaster() -> str | None:
    """Return the process id of the server, if it is on this machine's socket."""
    lock = f".s.PGSQL.{os.environ.get('PGPORT', '5432')}.lock"
    try:
        return Path(os.environ.get("PGHOST", "/tmp"), lock).read_text().split()[0]  # noqa: S108
    except OSError:
        return None


def _backends(postmaster: str) -> list[Path]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if stat.read_text().rpartition(")")[2].split()[1] == postmaster:
                found.append(stat)
        except (OSError, IndexError):
            continue
    return found


def _server_cpu() -> float:
    """Return the seconds that the server's processes have used, ended or not."""
    postmaster = _postmaster()
    if postmaster is None:
        return 0
    ticks = 0
    for stat in [Path("/proc", postmaster, "stat"), *_backends(postmaster)]:
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Those of ended children are the postmaster's own fields.
        last = 15 if postmaster in stat.parts else 13
        ticks += sum(map(int, fields[11:last]))
    return ticks / _TICKS


def _watch_backends(peak: list[float], over: threading.Event) -> None:
    """Record the peak of the private memory of the server's backends, in MB."""
    postmaster = _postmaster()
    while postmaster and not over.wait(0.1):
        total = 0
        for stat in _backends(postmaster):
            try:
                status = stat.with_name("status").read_text()
                total += int(status.split("RssAnon:")[1].split()[0])
            except (OSError, IndexError):
                continue
        peak[0] = max(peak[0], total / 1024)
