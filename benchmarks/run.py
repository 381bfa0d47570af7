"""Measure the exporter and its alternatives in turn; write benchmarks/RESULTS.md.

With the default options this takes half an hour on two cores; run nothing else then.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import page, rows
from benchmarks.alternatives import old_query
from benchmarks.measure import Command, Measured, psql
from exporter.cli import COMMANDS
from exporter.engines import embedded

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
BIN = Path(sys.executable).parent
FINETUNE = BIN / "finetune"
DBT: list[str | Path] = [BIN / "dbt", "--quiet"]
EXPORT: list[str | Path] = [FINETUNE, "export", "-o", "out"]

# Alternatives without a target, measured once, and the module that each needs.
ONCE = {
    "one_psql": "psycopg",
    "one_floor": "psycopg",
    "both_adbc": "adbc_driver_postgresql",
    "both_polars": "polars",
    "both_duckdb": "duckdb",
}


class Bench:
    """The measurements, and the Python that runs the alternatives."""

    def __init__(
        self, folder: Path, other_python: Path | None, *, resume: bool
    ) -> None:
        self.folder = folder
        self.measured = Measured(folder, resume=resume)
        self.python = other_python or Path(sys.executable)

    def raw(self, count: int, shape: str, suffix: str) -> Path:
        """Return the file with the rows; write it if it is missing."""
        path = self.folder / f"{shape}-{count}.{suffix}"
        if not path.exists():
            draft = path.with_name(f"draft.{suffix}")
            rows.write(draft, count, shape)
            draft.rename(path)
        return path

    def alternative(self, count: int, shape: str, function: str) -> None:
        """Measure an alternative; report files that differ from the export's."""
        script = HERE / "alternatives.py"
        train = self.measured.output / "train.jsonl"
        command: Command = [self.python, script, function, train, embedded.psql()]
        self.measured.measure(count, shape, function, command)
        if function.startswith("both_"):
            ours = {name: facts["sha256"] for name, facts in self.files().items()}
            said = self.measured.said.read_text().split()
            theirs = dict(zip(said[1::2], said[::2], strict=True))
            if theirs != ours:
                print(f"{function}: other bytes: {theirs}, not {ours}", flush=True)

    def keep_manifest(self) -> None:
        """Keep the manifest of the last export; set the prompt for alternatives."""
        shutil.copy(self.measured.output / "manifest.json", self.folder)
        os.environ["BENCH_PROMPT"] = self.manifest()["system_prompt"]

    def manifest(self) -> dict[str, Any]:
        """Return the kept manifest."""
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_bytes())
        return found

    def files(self) -> dict[str, Any]:
        """Return the entries of the files of the last export."""
        found: dict[str, Any] = self.manifest()["files"]
        return found


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """Use the server that PG* names, or else start an embedded one for the run."""
    if embedded.connection_is_set():
        yield
        return
    with embedded.serving(folder / ".postgres") as variables:
        os.environ.update(variables)
        yield


@contextmanager
def database(name: str) -> Iterator[None]:
    """Create a database, use it in the block, then drop it."""
    before = os.environ["PGDATABASE"]
    psql(f"drop database if exists {name}", f"create database {name}")
    os.environ["PGDATABASE"] = name
    try:
        yield
    finally:
        os.environ["PGDATABASE"] = before
        psql(f"drop database {name}")


def bench_loads(bench: Bench, count: int, shape: str) -> None:
    """Load the rows as CSV and JSON Lines, and with psql's copy."""
    csv = bench.raw(count, shape, "csv")
    psql("create table loaded (uid text, title text, content text)")
    copy = rf"\copy loaded from '{csv}' (format csv, header)"
    command: Command = [embedded.psql(), "-Xqc", copy]
    bench.measured.measure(count, shape, "load: psql", command)
    psql("drop table loaded", "checkpoint")
    for suffix in ("csv", "jsonl"):
        command = [FINETUNE, "load", "--replace", bench.raw(count, shape, suffix)]
        bench.measured.measure(count, shape, f"load: {suffix}", command)
        psql("checkpoint")


def bench_pipeline(bench: Bench, count: int, shape: str) -> None:
    """Measure the pipeline in parts, the whole, and the old script."""
    measured = bench.measured
    # dbt itself reports the time of the statements.
    only = ["-s", "+int_finetune__pairs_deduplicated", "--project-dir", "dbt_project"]
    # With the same --target as the export, because dbt parses all files again if it
    # differs from the previous run.
    run = measured.measure(
        count, shape, "dbt run", [*DBT, "run", *only, "--target", "postgres"]
    )
    said = bench.folder / "dbt_project/target/run_results.json"
    seconds = sum(r["execution_time"] for r in json.loads(said.read_bytes())["results"])
    measured.keep(count, shape, "statements", run._replace(wall=seconds, cpu=0))
    query = f"copy ({old_query()}) to '/dev/null' (format binary)"
    measured.measure(count, shape, "old query", [embedded.psql(), "-Xqc", query])
    measured.measure(count, shape, "pipeline", [*EXPORT, "--build"])
    bench.keep_manifest()
    bench.alternative(count, shape, "old_script")
    measured.measure(count, shape, "export --no-gate", [*EXPORT, "--no-gate"])
    measured.measure(count, shape, "export", EXPORT)


def bench_exports(bench: Bench, count: int, shape: str, *, once: bool) -> None:
    """Measure the alternatives that write the same two files, or less."""
    bench.alternative(count, shape, "both_psql")
    for function, module in ONCE.items() if once else ():
        probe: list[str | Path] = [bench.python, "-c", f"import {module}"]
        if subprocess.run(probe, check=False, capture_output=True).returncode:
            print(f"{function}: skipped: {module} is not installed")
        else:
            bench.alternative(count, shape, function)


def bench_check_and_diff(bench: Bench) -> None:
    """Measure `check` and `diff` on the first million lines of the export."""
    source = bench.measured.output
    count = min(1_000_000, bench.files()["train.jsonl"]["lines"])
    for name, skipped in ("old", 0), ("new", count // 100):
        folder = bench.folder / name
        if (folder / "manifest.json").exists():
            continue
        folder.mkdir(exist_ok=True)
        facts = {
            file: cut(source / file, folder / file, skipped, count)
            for file in ("clean.jsonl", "train.jsonl")
        }
        document = bench.manifest() | {"files": facts}
        (folder / "manifest.json").write_text(json.dumps(document))
    for _ in range(3):
        for command in (["check", "old/train.jsonl"], ["diff", "old", "new"]):
            bench.measured.measure(count, "most", command[0], [FINETUNE, *command])
    for name in ("old", "new"):
        shutil.rmtree(bench.folder / name)


def cut(source: Path, target: Path, start: int, end: int) -> dict[str, str | int]:
    """Copy some lines of a file; return their entry for a manifest."""
    sha256 = hashlib.sha256()
    with source.open("rb") as lines, target.open("wb") as file:
        for line in islice(lines, start, end):
            file.write(line)
            sha256.update(line)
        size = file.tell()
    return {"sha256": sha256.hexdigest(), "bytes": size, "lines": end - start}


def bench_start_up(bench: Bench) -> None:
    """Measure commands with little to do, and dbt with a project without models."""
    measured = bench.measured
    ten = bench.folder / "ten.jsonl"
    line = '{"messages":[{"role":"user","content":"lamp"},'
    line += '{"role":"assistant","content":"A lamp of glass, number %d."}]}\n'
    ten.write_text("".join(line % number for number in range(10)))
    empty = bench.folder / "empty_project"
    empty.mkdir(exist_ok=True)
    (empty / "dbt_project.yml").write_text("{name: empty, profile: finetune}")
    with database("bench_sample"):
        sample = REPOSITORY / "examples/products.csv"
        measured.run("load", [FINETUNE, "load", sample])
        measured.run("build", [*EXPORT, "--build"])
        commands: dict[str, list[str | Path]] = {
            "--help": ["--help"],
            "check of ten lines": ["check", ten],
            "export of the sample": ["export", "-o", "out"],
        }
        for _ in range(5):
            for name, arguments in commands.items():
                measured.measure(10, "", name, [FINETUNE, *arguments])
        for _ in range(3):
            whole: Command = [*EXPORT, "--build"]
            measured.measure(10, "", "pipeline of the sample", whole)
            alone: Command = [*DBT, "build", "--project-dir", empty]
            measured.measure(10, "", "dbt without models", alone)
    for name in COMMANDS:
        for _ in range(3):
            help_of: Command = [FINETUNE, name, "--help"]
            measured.measure(10, "", f"{name} --help", help_of)


def bench_size(
    bench: Bench, count: int, shape: str, rounds: int, *, others: bool
) -> None:
    """Measure one size and shape, with or without the alternatives."""
    with database(f"bench_{shape}_{count}"):
        for number in range(rounds):
            if others and shape == "most":
                bench_loads(bench, count, shape)
            elif number == 0:
                path = bench.raw(count, shape, "jsonl")
                command: Command = [FINETUNE, "load", "--replace", path]
                bench.measured.measure(count, shape, "load: jsonl", command)
            bench_pipeline(bench, count, shape)
            if others and shape == "most":
                bench_exports(bench, count, shape, once=number == 0)


def main() -> None:
    """Measure every size and shape; write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few-rows", type=int, default=250_000)
    parser.add_argument("--many-rows", type=int, default=4_000_000)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".bench")
    parser.add_argument("--rows-only", action="store_true", help="Only write the rows.")
    parser.add_argument(
        "--resume", action="store_true", help="Keep the measurements of a stopped run."
    )
    parser.add_argument(
        "--other-python",
        type=lambda p: Path(p).absolute(),
        help="The Python with the alternatives.",
    )
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    bench = Bench(options.folder.resolve(), options.other_python, resume=options.resume)
    shutil.copy(REPOSITORY / "profiles.yml.example", bench.folder / "profiles.yml")
    project = bench.folder / "dbt_project"
    shutil.copytree(REPOSITORY / "dbt_project", project, dirs_exist_ok=True)
    sizes = {
        options.rows: options.rounds,
        options.many_rows: 1,
        options.few_rows: 3,
    }
    for count in sizes:
        for shape in ("most", "few"):
            bench.raw(count, shape, "jsonl")
    bench.raw(options.rows, "most", "csv")
    if options.rows_only:
        return
    with server(bench.folder):
        if not bench.measured.runs(10, "", "--help"):
            bench_start_up(bench)
        for count, rounds in sizes.items():
            for shape in ("few", "most"):
                others = count == options.rows
                if len(bench.measured.runs(count, shape, "export")) == rounds:
                    continue
                bench_size(bench, count, shape, rounds, others=others)
            if count == options.many_rows and not bench.measured.named("most", "diff"):
                bench_check_and_diff(bench)
            # After each size, so that a stopped run leaves its results.
            text = page.written(bench.measured, *sizes)
            (HERE / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
