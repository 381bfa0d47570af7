"""Run as a program: the whole pipeline again and again, with other rows each time.

Arguments: minutes, and the folder for soak.json. Load, build, export, check and
upload to the loopback; what each export wrote is compared with an independent
recomputation, and nothing may grow: memory, descriptors, connections, disk.
"""

import hashlib
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from exporter.engines import embedded
from tests import oracle
from tests.endpoint.server import Server
from tests.workspace import Workspace, open_folder, project_in

_KEY = "sk-test-1234567890"
_PERCENT = 20
_WORDS = ["lamp", "chair", "{{x}}", "%s", "'q'", '"d"', "\\N", "é", "漢字", "🏷"]
_WORDS += ["\u2028", "a\u0301", "\x1b[1m"]
_ENDS = {"\u2028": "\\u2028", "\u2029": "\\u2029", "\x85": "\\u0085"}


def rows_of(round_: int) -> list[oracle.Row]:
    """Return some thousand rows, different in each round."""
    dice = random.Random(round_)  # noqa: S311 (no secret)
    titles = [f"{dice.choice(_WORDS)} {n}" for n in range(dice.randint(20, 200))]
    return [
        (
            f"{round_}-{n}",
            dice.choice(titles),
            " ".join(dice.choices(_WORDS, k=dice.randint(1, 60))),
        )
        for n in range(dice.randint(2000, 6000))
    ]


def expected_hashes(rows: list[oracle.Row], prompt: str) -> dict[str, str]:
    """Return the hash of each training file, without code of the project."""
    digests = {side: hashlib.sha256() for side in ("train", "validation")}
    for pair in oracle.training_pairs(rows, validation_percent=_PERCENT):
        texts = {"system": prompt, "user": pair["title"]}
        texts["assistant"] = pair["description"]
        messages = [{"role": role, "content": text} for role, text in texts.items()]
        line = json.dumps(
            {"messages": messages}, ensure_ascii=False, separators=(",", ":")
        )
        for end, escaped in _ENDS.items():
            line = line.replace(end, escaped)
        digests[pair["split"]].update(f"{line}\n".encode())
    return {
        "train.jsonl": digests["train"].hexdigest(),
        "valid.jsonl": digests["validation"].hexdigest(),
    }


def run(workspace: Workspace, peaks: dict[str, int], *arguments: str) -> None:
    """Run a command, which must succeed, and record its peak memory in MB."""
    dbt = arguments[0] == "dbt"
    program = [str(Path(sys.executable).with_name("dbt"))] if dbt else []
    command = program or [sys.executable, "-m", "exporter"]
    log = workspace.folder / "log"
    pid = os.posix_spawn(
        command[0],
        [*command, *arguments[dbt:]],
        workspace.environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, number, str(log), os.O_WRONLY | os.O_CREAT, 0o600)
            for number in (1, 2)
        ],
    )
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, (arguments, log.read_text()[-3000:])
    peaks[arguments[0]] = usage.ru_maxrss >> 10
    log.unlink()


def server_figures(workspace: Workspace, data: Path) -> dict[str, int]:
    """Return the server's memory, descriptors, sessions and disk space."""
    [sessions] = workspace.sql(
        "select count(*)::int from pg_stat_activity"
        " where backend_type = 'client backend' and pid <> pg_backend_pid()"
    )[0]
    [size] = workspace.sql("select pg_database_size(current_database())")[0]
    leader = (data / "postmaster.pid").read_text().split()[0]
    pids = [leader, *_children(leader)]
    files = memory = 0
    for pid in pids:
        try:
            files += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            memory += int(rollup.partition("Pss:")[2].split()[0])
        except OSError:
            continue  # It has ended meanwhile.
    leftover = [*workspace.folder.rglob(".*.part"), *workspace.folder.rglob(".upload*")]
    return {
        "server MB": memory >> 10,
        "server descriptors": files,
        "server processes": len(pids),
        "sessions left": sessions,
        "database MB": size >> 20,
        "our own descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "project MB": sum(
            path.stat().st_size
            for path in workspace.folder.rglob("*")
            if path.is_file()
        )
        >> 20,
        "files left over": len(leftover),
    }


def _children(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def one_round(
    workspace: Workspace, server: Server, number: int, data: Path
) -> dict[str, int]:
    """Run the pipeline once, and compare its files with the rows."""
    rows = rows_of(number)
    path = workspace.folder / "rows.jsonl"
    with path.open("w") as file:
        for row in rows:
            named = dict(zip(("uid", "title", "content"), row, strict=True))
            file.write(json.dumps(named) + "\n")
    peaks: dict[str, int] = {}
    prompt = f"Round {number}: {{{{ text }}}} is text."
    files = workspace.folder / "files"
    project = ("--project-dir", "dbt_project")
    run(workspace, peaks, "load", "rows.jsonl", "--replace")
    values = json.dumps({"validation_percent": _PERCENT})
    run(workspace, peaks, "dbt", "build", *project, "--vars", values)
    run(workspace, peaks, "export", "--system-prompt", prompt)
    manifest = json.loads((files / "manifest.json").read_bytes())
    expected = expected_hashes(rows, prompt)
    for name, digest in expected.items():
        found = hashlib.sha256((files / name).read_bytes()).hexdigest()
        assert found == manifest["files"][name]["sha256"] == digest, (number, name)
    run(workspace, peaks, "check", "--for", "openai")
    run(workspace, peaks, "upload")
    assert {*expected.values()} == {*server.contents.values()}
    for held in (server.files, server.contents, server.exchanges, server.requests):
        held.clear()
    memory = {f"{name} MB": size for name, size in peaks.items()}
    return memory | server_figures(workspace, data)


def summary(rounds: list[dict[str, int]], minutes: float) -> dict[str, Any]:
    """Return the figures of the page, with those that grew."""
    third = max(len(rounds) // 3, 1)
    figures: dict[str, Any] = {
        "minutes": round(minutes, 1),
        "rounds; exports equal to the recomputation": f"{len(rounds)}; {len(rounds)}",
    }
    grown = []
    for name in rounds[0]:
        # The least of each, because the server's autovacuum opens many files for a
        # moment.
        early, late = (
            min(found[name] for found in part)
            for part in (rounds[:third], rounds[-third:])
        )
        figures[f"{name}, least in the first and last third"] = f"{early}; {late}"
        # Rounds have different numbers of rows, and an early one may have few.
        if late > early * 1.3 + 8 or (
            late and name in ("sessions left", "files left over")
        ):
            grown.append(name)
    figures["grew"] = ", ".join(grown) or "nothing"
    return figures


def main() -> None:
    """Run rounds until the time is over; write and print the figures."""
    minutes, out = float(sys.argv[1]), Path(sys.argv[2])
    started = time.monotonic()
    rounds: list[dict[str, int]] = []
    with open_folder() as folder, Server() as server:
        home = folder / "s"
        with embedded.serving(home) as variables:
            (folder / "project").mkdir()
            workspace = project_in(folder / "project", variables)
            workspace.environment |= {"OPENAI_API_KEY": _KEY}
            workspace.environment |= {"OPENAI_BASE_URL": server.url}
            workspace.environment |= {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
            os.chdir(workspace.folder)
            while time.monotonic() - started < minutes * 60:
                rounds.append(one_round(workspace, server, len(rounds), home / "data"))
                sys.stdout.write(f"{len(rounds)}: {rounds[-1]}\n")
                sys.stdout.flush()
                # dbt's log, which dbt itself shortens.
                shutil.rmtree(workspace.project / "logs", ignore_errors=True)
            os.chdir("/")
    figures = summary(rounds, (time.monotonic() - started) / 60)
    (out / "soak.json").write_text(json.dumps(figures))
    sys.exit(0 if figures["grew"] == "nothing" else f"grew: {figures['grew']}")


if __name__ == "__main__":
    main()
