"""`finetune export --build`: dbt starts once, and each data test runs once."""

import json
import os
import pty
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter.building import _gate_test_selectors
from tests.workspace import DBT, REPOSITORY, Workspace, open_folder, project_in


def ran_in_the_build(workspace: Workspace) -> list[str]:
    """Return the data tests in dbt's log."""
    [log] = workspace.folder.rglob("dbt.log")
    line = r"\d+ of \d+ (?:PASS|WARN \d+|FAIL \d+) (\w+) \.+ \["
    return re.findall(line, log.read_text())


def data_tests(workspace: Workspace) -> list[str]:
    text = (workspace.project / "target/manifest.json").read_bytes()
    nodes = json.loads(text)["nodes"].values()
    return sorted(n["name"] for n in nodes if n["resource_type"] == "test")


def test_each_data_test_runs_once_in_the_build_or_in_the_gate(
    sample: Workspace,
) -> None:
    before = {p.name: p.read_bytes() for p in sample.export().glob("*.jsonl")}
    # A test of another model, whose rows are not exported.
    (sample.project / "tests/looks_elsewhere.sql").write_text(
        "select title from {{ ref('int_finetune__titles_judged') }} where false"
    )
    # Modules in the current folder must not be mistaken for ours.
    for name in ("exporter/__init__.py", "signal.py", "random.py"):
        path = sample.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("raise SystemExit('not this one')")
    done = sample.run([DBT.with_name("finetune"), "export", "--build", "-o", "new"])
    assert done.returncode == 0, done.stderr
    for name in ("exporter/__init__.py", "signal.py", "random.py"):
        (sample.folder / name).unlink()
    document = json.loads((sample.folder / "new/manifest.json").read_bytes())
    in_the_gate = [test["name"] for test in document["gate"]["tests"]]
    in_the_build = ran_in_the_build(sample)
    assert "looks_elsewhere" in in_the_build
    assert "raw_product_has_a_title" in in_the_build
    assert sorted(in_the_build + in_the_gate) == data_tests(sample)
    after = {p.name: p.read_bytes() for p in (sample.folder / "new").glob("*.jsonl")}
    assert after == before
    # The next export finds the compiled tests that the build excluded.
    again = sample.finetune("export")
    assert again.returncode == 0
    assert "gate: 31 tests on the rows to be written" in again.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("training_pairs", "fail: no_kate: "),
        ("int_finetune__titles_judged", "finetune: the build failed, as dbt says"),
    ],
)
def test_a_failing_test_refuses_the_export_in_the_build_and_in_the_gate(
    sample: Workspace, model: str, said: str
) -> None:
    before = {p.name: p.read_bytes() for p in sample.export().iterdir()}
    (sample.project / "tests/no_kate.sql").write_text(
        f"select title from {{{{ ref('{model}') }}}} where title = 'Kate'"
    )
    done = sample.finetune("export", "--build")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "no_kate" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("finetune: ")
    assert "nothing was written" in done.stderr
    after = {p.name: p.read_bytes() for p in (sample.folder / "files").iterdir()}
    assert after == before


def test_without_the_gate_the_build_runs_every_test(sample: Workspace) -> None:
    done = sample.finetune("export", "--build", "--no-gate")
    assert done.returncode == 0, done.stderr
    assert sorted(ran_in_the_build(sample)) == data_tests(sample)


def second_data_set(manifest: dict[str, Any]) -> None:
    [exposure] = manifest["exposures"].values()
    manifest["exposures"]["another"] = exposure | {"name": "another"}


def default_selector(manifest: dict[str, Any]) -> None:
    manifest["selectors"]["mine"] = {"name": "mine", "default": True}


def unreadable_data_set(manifest: dict[str, Any]) -> None:
    [exposure] = manifest["exposures"].values()
    exposure["config"]["meta"]["finetune"]["examples"] = "nothing"


@pytest.mark.parametrize(
    "change", [second_data_set, default_selector, unreadable_data_set]
)
def test_the_build_runs_all_tests_if_those_of_the_gate_are_unknown(
    built_sample: Workspace, change: Callable[[dict[str, Any]], None]
) -> None:
    path = built_sample.project / "target/manifest.json"
    manifest = json.loads(path.read_bytes())
    assert len(_gate_test_selectors(manifest, "")) == 31
    assert len(_gate_test_selectors(manifest, "product_descriptions")) == 31
    assert _gate_test_selectors(manifest, "nobody") == []
    change(manifest)
    assert _gate_test_selectors(manifest, "") == []


def test_tests_in_a_folder_with_the_name_of_a_test_are_not_excluded(
    built_sample: Workspace,
) -> None:
    path = built_sample.project / "target/manifest.json"
    manifest = json.loads(path.read_bytes())
    [test] = [
        node
        for node in manifest["nodes"].values()
        if node["name"] == "training_pairs_title_is_no_null_word"
    ]
    below = test | {"fqn": [*test["fqn"], "another"], "name": "another"}
    manifest["nodes"]["test.finetune.another"] = below | {"attached_node": None}
    selectors = _gate_test_selectors(manifest, "")
    assert f"fqn:{'.'.join(test['fqn'])}" not in selectors
    assert selectors


def processes_of(folder: Path) -> list[str]:
    """Return the commands of the processes whose working folder is in the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_bytes().decode())
    return found


def on_a_terminal(workspace: Workspace, *arguments: str) -> tuple[int, int]:
    """Start finetune on a new terminal; return its pid and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(workspace.folder)
        command = [sys.executable, "-m", "exporter", *arguments]
        os.execve(command[0], command, workspace.environment)  # noqa: S606 (ours)
    return pid, terminal


def said_until_the_end(terminal: int) -> str:
    said = b""
    with suppress(OSError):  # Linux says so when nobody writes any more.
        while more := os.read(terminal, 4096):
            said += more
    os.close(terminal)
    return said.decode().replace("\r\n", "\n").removeprefix("^C")


def locked(workspace: Workspace) -> psycopg.Connection:
    """Lock the raw table, and wait until another session waits for it."""
    socket, connection = workspace.folder / ".postgres/socket", None
    while connection is None:
        with suppress(psycopg.OperationalError):
            connection = psycopg.connect(
                host=str(socket.resolve()), user="app", dbname="postgres"
            )
        time.sleep(0.05)
    connection.execute("lock table product in access exclusive mode")
    while not connection.execute("select from pg_locks where not granted").fetchall():
        time.sleep(0.05)
    return connection


@pytest.mark.parametrize("by", ["Ctrl-C", "SIGTERM", "SIGTERM at the start"])
def test_a_stopped_build_ends_at_once_with_one_line_and_leaves_no_process(
    by: str,
) -> None:
    with open_folder() as folder:
        workspace = project_in(folder, {"PYTHONPATH": str(REPOSITORY)})
        sample = REPOSITORY / "examples/products.csv"
        assert workspace.finetune("load", sample).returncode == 0
        pid, terminal = on_a_terminal(workspace, "export", "--build")
        with ExitStack() as stack:
            if by == "SIGTERM at the start":
                while not any("exporter.building" in c for c in processes_of(folder)):
                    time.sleep(0.01)
                time.sleep(0.5)
            else:
                stack.enter_context(closing(locked(workspace)))
            if by == "Ctrl-C":
                os.write(terminal, b"\x03")
            else:
                os.kill(pid, signal.SIGTERM)
            said = said_until_the_end(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert said == (
            "finetune: stopped; the build is unfinished, and no file was written\n"
        )
        assert code == (130 if by == "Ctrl-C" else 143)
        assert processes_of(folder) == []
        assert not (folder / "files").exists()
