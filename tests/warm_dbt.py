"""A program that runs dbt commands in forks of a process that has imported dbt.

Importing dbt takes most of the time of a small build. The program reads requests on
stdin, a line of JSON each, and answers with the exit code.
"""

import json
import os
import sys
from importlib import import_module
from typing import Any

# Modules that dbt imports only when a command needs them.
_LATER = ["dbt.adapters.postgres", "dbt.task.build", "dbt.task.test", "dbt.task.list"]


def _serve() -> dict[str, Any]:
    """Answer requests; in the child, return its request."""
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
    """Turn this process into the requested command."""
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
