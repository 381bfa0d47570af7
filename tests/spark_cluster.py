"""A real Spark cluster on loopback: a master, two workers, a Connect server.

The programs come from the pyspark in .venv-cluster; `make test-cluster` makes it.
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from tests.workspace import REPOSITORY, clean_environment

EXECUTOR_MEMORY = "2g"


def spark_home() -> Path:
    """Return the folder of Spark's programs."""
    [home] = REPOSITORY.glob(".venv-cluster/lib/python3*/site-packages/pyspark")
    return home


class Share(NamedTuple):
    """The tasks of an executor, and the rows and bytes that it read from tables."""

    tasks: int
    rows: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.tasks:,} tasks, {self.rows:,} rows, {self.bytes / 1e6:,.0f} MB"


@dataclass
class Cluster:
    """The processes of a cluster by their pids, and its folder."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    remote: str = ""
    master_page: str = ""
    driver_page: str = ""

    def start(self) -> None:
        master, master_page, driver_page, connect = free_ports(4)
        url = f"spark://127.0.0.1:{master}"
        self.remote = f"sc://127.0.0.1:{connect}"
        self.master_page = f"http://127.0.0.1:{master_page}"
        self.driver_page = f"http://127.0.0.1:{driver_page}"
        for name in ("events", "warehouse", "local", "logs"):
            (self.folder / name).mkdir()
        self._run(
            *("master", "spark-class", "org.apache.spark.deploy.master.Master"),
            *("--host", "127.0.0.1", "--port", str(master)),
            *("--webui-port", str(master_page)),
        )
        wait_for("the master", lambda: self._workers() is not None)
        for name in ("worker-1", "worker-2"):
            self._run(
                *(name, "spark-class", "org.apache.spark.deploy.worker.Worker"),
                *("--host", "127.0.0.1", "--webui-port", "0", "--cores", "1"),
                *("--memory", EXECUTOR_MEMORY, "--work-dir", str(self.folder / name)),
                url,
            )
        wait_for("both workers", lambda: self._workers() == 2)
        settings = {
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.connect.grpc.binding.port": connect,
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "1g",
            "spark.eventLog.compress": "false",
            "spark.eventLog.dir": (self.folder / "events").as_uri(),
            "spark.eventLog.enabled": "true",
            "spark.eventLog.rolling.enabled": "false",
            "spark.executor.memory": EXECUTOR_MEMORY,
            # Otherwise other threads read, and no task counts the bytes.
            "spark.hadoop.parquet.hadoop.vectored.io.enabled": "false",
            # Small tasks, so that there are many for these rows.
            "spark.sql.files.maxPartitionBytes": "16m",
            "spark.sql.shuffle.partitions": "16",
            "spark.sql.warehouse.dir": (self.folder / "warehouse").as_uri(),
            "spark.ui.port": driver_page,
        }
        self._run(
            *("connect", "spark-submit", "--master", url, "--class"),
            "org.apache.spark.sql.connect.service.SparkConnectServer",
            *(f"--conf={name}={value}" for name, value in settings.items()),
        )
        wait_for("Spark Connect", lambda: answers(connect))
        wait_for("both executors", lambda: len(self.executors()) == 2)

    def stop(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, program: str, *arguments: str) -> None:
        with (self.folder / "logs" / name).open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [spark_home() / "bin" / program, *arguments],
                env=clean_environment()
                | {
                    "SPARK_HOME": str(spark_home()),
                    "SPARK_LOCAL_IP": "127.0.0.1",
                    "SPARK_LOCAL_DIRS": str(self.folder / "local"),
                    "SPARK_DAEMON_MEMORY": "512m",
                },
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _workers(self) -> int | None:
        """Return the number of workers of the master, or None if it does not answer."""
        answer = read_json(f"{self.master_page}/json/")
        return None if answer is None else int(answer["aliveworkers"])

    def asked(self, path: str) -> list[dict[str, Any]]:
        """Return an answer of Spark's monitoring about the one application."""
        applications = read_json(f"{self.driver_page}/api/v1/applications") or []
        for application in applications:
            page = f"{self.driver_page}/api/v1/applications/{application['id']}"
            return read_json(f"{page}/{path}") or []
        return []

    def executors(self) -> list[str]:
        """Return the ids of the executors that are alive."""
        everyone = self.asked("executors")
        return [one["id"] for one in everyone if one["id"] != "driver"]

    def writes_half_of(self, table: str) -> bool:
        """Return whether the large stage of storing a table is half done."""
        jobs = {
            job
            for query in self.asked("sql?planDescription=true&length=1000")
            if table in query["planDescription"]
            and "Insert" in query["planDescription"]
            for job in query["runningJobIds"]
        }
        stages = {
            stage
            for job in self.asked("jobs?status=running")
            if job["jobId"] in jobs
            for stage in job["stageIds"]
        }
        return any(
            stage["stageId"] in stages
            and stage["numCompleteTasks"] * 2 >= stage["numTasks"] >= 4
            for stage in self.asked("stages?status=active")
        )

    def kill_worker(self, name: str) -> str:
        """Kill a worker and, by its pid, its executor; return the executor's id."""
        worker = self.processes[name]
        [(pid, number)] = [
            (pid, found[1])
            for pid, line in children(worker.pid).items()
            if (found := re.search(r" --executor-id (\d+) ", line))
        ]
        worker.kill()
        worker.wait()
        os.kill(pid, signal.SIGKILL)
        return number

    def events(self, kind: str) -> Iterator[dict[str, Any]]:
        """Yield the application's events of one kind from its log."""
        [log] = (self.folder / "events").iterdir()
        for line in log.read_bytes().splitlines():
            if line.startswith(f'{{"Event":"{kind}"'.encode()):
                yield json.loads(line)

    def shares(
        self, began: float, ended: float, *, scanned: int = 0
    ) -> dict[str, Share]:
        """Return what each executor read in the tasks begun between two times.

        With `scanned`, of stages alone that read so many rows or more.
        """
        tasks = [
            event
            for event in self.events("SparkListenerTaskEnd")
            if began <= event["Task Info"]["Launch Time"] / 1000 <= ended
            and event.get("Task Metrics")
        ]
        read: Counter[int] = Counter()
        for task in tasks:
            read[task["Stage ID"]] += task["Task Metrics"]["Input Metrics"][
                "Records Read"
            ]
        shares: defaultdict[str, Share] = defaultdict(lambda: Share(0, 0, 0))
        for task in tasks:
            if read[task["Stage ID"]] >= scanned:
                number = task["Task Info"]["Executor ID"]
                metrics = task["Task Metrics"]["Input Metrics"]
                more = (1, metrics["Records Read"], metrics["Bytes Read"])
                pairs = zip(shares[number], more, strict=True)
                shares[number] = Share(*map(sum, pairs))
        return shares

    def tasks_run_again(self, executor: str) -> int:
        """Return the number of tasks of a lost executor that were run again."""
        return sum(
            event["Task Info"]["Executor ID"] == executor
            and event["Task End Reason"]["Reason"] != "Success"
            for event in self.events("SparkListenerTaskEnd")
        )


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster in the folder; end its processes after the block."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def free_ports(count: int) -> list[int]:
    """Return ports for servers that take seconds to start.

    They are none of those that the kernel gives to clients, which could take one in
    the meantime: Spark's master then listens on the next, and no worker finds it.
    """
    ports = random.sample(range(10_000, 30_000), 20_000)
    return [*islice(filter(_is_free, ports), count)]


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def read_json(address: str) -> Any:  # noqa: ANN401  # JSON is any value.
    """Return the answer of the address, or None if there is none."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310
            return json.load(answer)
    except (OSError, ValueError):
        return None


def children(pid: int) -> dict[int, str]:
    """Return the pids and commands of the children of a process."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = (line.strip().partition(" ") for line in listed.stdout.splitlines())
    return {int(number): arguments for number, _, arguments in lines}


def wait_for(what: str, condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.1)
