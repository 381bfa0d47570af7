"""Run as a program: commands, each in a fork of a process that has imported them.

Reads requests on stdin, a line of JSON each, and answers with the pid of the
command and then with its exit code. `--cold` runs one request without a fork.
"""

import json
import os
import resource
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.faults import hook

# Python's own handler, as in a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _become(request: dict[str, Any]) -> None:
    """Run the command of a request in this process."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(request[name], flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["finetune", *request["arguments"]]
    for name, most in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    if request["more_memory"]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + request["more_memory"]
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if request["clock"]:
        hook.set_clock(request["clock"])
    if request["plan"]:
        hook.arm(hook.Plan(**request["plan"]))
    import_module("exporter.__main__").main()


def _serve() -> dict[str, Any]:
    """Answer requests; return a request only in the child that runs it."""
    for module in (
        "load",
        "export",
        "check",
        "upload",
        "train",
        "local",
        "init",
        "report",
    ):
        import_module(f"exporter.cli.{module}")
    import_module("openai")
    import_module("psycopg")
    while line := sys.stdin.readline():
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return request
        print(pid, flush=True)  # noqa: T201
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201
    sys.exit()


if __name__ == "__main__":
    _become(json.loads(sys.argv[2]) if sys.argv[1:2] == ["--cold"] else _serve())
