"""Run as a program: commands of dbt, each in a fork of a process that has imported it.

To import dbt takes most of the time of a small build. Reads requests on stdin, a line
of JSON each, and answers each with its exit code.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

# What dbt imports when a command needs it.
_LATER = ["dbt.adapters.postgres", "dbt.task.build", "dbt.task.test", "dbt.task.list"]


def _serve() -> dict[str, Any]:
    """Answer requests; return in a child, with the one that it is for."""
    for module in ["dbt.cli.main", *_LATER]:
        import_module(module)
    while line := sys.stdin.readline():
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if pid == 0:
            return request
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201
    sys.exit()


def _become(request: dict[str, Any]) -> None:
    """Turn this process into the command that is asked for."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    names = (os.devnull, request["stdout"], request["stderr"])
    for number, name in enumerate(names):
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["dbt", *request["arguments"]]
    import_module("dbt.cli.main").cli()


if __name__ == "__main__":
    _become(_serve())
