"""Run us and the alternatives in turn, and write benchmarks/RESULTS.md."""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks import rows
from exporter.engines import embedded

HERE = Path(__file__).parent
REPOSITORY = HERE.parent
OURS = "finetune"
BIN = Path(sys.executable).parent

EXPORTS = [
    "floor",
    "server_json",
    "cursor_json",
    "polars",
    "adbc",
    "pandas",
    "datasets",
]
# Many times slower than the rest: once is enough.
SLOW = {"export_pandas", "export_datasets", "load_pandas"}

NEEDS = {
    "export_polars": "connectorx",
    "export_adbc": "adbc_driver_postgresql",
    "export_pandas": "pandas",
    "export_datasets": "datasets",
    "load_pandas": "pandas",
}


Command = list[str | Path]


class Run(NamedTuple):
    """What one process tree cost: seconds, seconds, MB, MB, MB."""

    wall: float
    cpu: float
    client_mb: float
    server_mb: float
    written_mb: float


class Bench:
    """A server with its default settings, a folder, and what was measured."""

    def __init__(self, folder: Path, other_python: Path | None) -> None:
        self.folder = folder
        self.other_python = other_python
        self.train = folder / "out" / "train.jsonl"
        self.results: dict[str, dict[str, list[Run]]] = {}

    def measure(self, group: str, name: str, *commands: Sequence[str | Path]) -> Run:
        """Run the commands one after the other; keep and return what they cost."""
        output = self.folder / "out"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        os.sync()
        peak = [0.0]
        over = threading.Event()
        watcher = threading.Thread(target=watch_backends, args=(peak, over))
        watcher.start()
        started = time.perf_counter()
        cpu = client = 0.0
        try:
            for command in commands:
                process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                if process.returncode != 0:
                    sys.exit(f"{group} {name}: exit code {process.returncode}")
                cpu += usage.ru_utime + usage.ru_stime
                client = max(client, usage.ru_maxrss / 1024)
        finally:
            over.set()
            watcher.join()
        wall = time.perf_counter() - started
        written = sum(p.stat().st_size for p in output.rglob("*") if p.is_file())
        run = Run(wall, cpu, client, peak[0], written / 1e6)
        self.results.setdefault(group, {}).setdefault(name, []).append(run)
        print(f"{group:32} {name:18} {wall:7.2f} s {client:6.0f} MB", flush=True)
        return run

    def alternative(self, group: str, function: str, *arguments: str | Path) -> None:
        """Measure one of the alternatives, if what it needs is installed."""
        name = function.partition("_")[2]
        if function in SLOW and name in self.results.get(group, {}):
            return
        python = self.other_python or Path(sys.executable)
        needed = NEEDS.get(function)
        if (
            needed
            and subprocess.run(
                [python, "-c", f"import {needed}"], check=False, capture_output=True
            ).returncode
        ):
            print(f"{group:32} {function:18} skipped: {needed} is not installed")
            return
        script = HERE / "alternatives.py"
        command = [python, script, function, *arguments, embedded.psql()]
        self.measure(group, name, command)


def watch_backends(peak: list[float], over: threading.Event) -> None:
    """Keep the largest private memory of all of the server's backends, in MB."""
    socket = Path(os.environ["PGHOST"], f".s.PGSQL.{os.environ['PGPORT']}.lock")
    postmaster = socket.read_text().split()[0]
    while not over.wait(0.1):
        total = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if stat.read_text().rpartition(")")[2].split()[1] == postmaster:
                    status = stat.with_name("status").read_text()
                    total += int(status.split("RssAnon:")[1].split()[0])
            except (OSError, IndexError):
                continue
        peak[0] = max(peak[0], total / 1024)


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """Use the server that PG* names, or an embedded one made for the run."""
    if embedded.own_server_chosen():
        yield
        return
    with embedded.serving(folder / ".postgres") as variables:
        os.environ.update(variables)
        yield


def prepare(bench: Bench, shape: str, count: int, *, csv: bool) -> Path:
    """Make the rows, and a database for them; return the file of the rows."""
    path = bench.folder / f"{shape}-{count}.jsonl"
    for file in (path, path.with_suffix(".csv")) if csv else (path,):
        if not file.exists():
            rows.write(file, count, shape)
    database = f"bench_{shape}_{count}"
    os.environ["PGDATABASE"] = "postgres"
    for statement in (
        f"drop database if exists {database}",
        f"create database {database}",
    ):
        psql(statement)
    os.environ["PGDATABASE"] = database
    return path


def psql(*statements: str) -> None:
    """Run statements, each by itself."""
    arguments = [part for statement in statements for part in ("-c", statement)]
    subprocess.run([embedded.psql(), "-Xq", *arguments], check=True)


def bench_load(bench: Bench, path: Path, group: str, *, others: bool) -> None:
    """Load the rows: us, and the alternatives into a table of the same form."""
    bench.measure(group, OURS, [BIN / "finetune", "load", "--replace", path])
    if not others:
        return
    few = path.with_name(f"few-rows-{path.stem}.jsonl")
    if not few.exists():
        with path.open() as source, few.open("w") as target:
            target.writelines(islice(source, 50_000))
    for name, file in (("psql", path), ("pandas", path), ("row_by_row", few)):
        psql(
            "drop table if exists loaded",
            "create table loaded (uid text, title text, content text)",
        )
        bench.alternative(group, f"load_{name}", file)
    psql("drop table loaded", "vacuum analyze product")


def bench_pairs(bench: Bench, group: str) -> None:
    """Store the pairs as dbt does, and run the old query to its end."""
    # Of the statements dbt tells the time alone; they head the table.
    statements = bench.results.setdefault(group, {}).setdefault(
        f"{OURS} (statements)", []
    )
    dbt: Command = [BIN / "dbt", "--quiet", "run", "--project-dir", "dbt_project", "-s"]
    run = bench.measure(
        group, f"{OURS} (dbt run)", [*dbt, "+int_finetune__pairs_deduplicated"]
    )
    told = bench.folder / "dbt_project" / "target" / "run_results.json"
    models = json.loads(told.read_bytes())["results"]
    seconds = sum(model["execution_time"] for model in models)
    statements.append(run._replace(wall=seconds))
    bench_start_up(bench, group)
    old = (
        "copy (select distinct title, content from product where {0} and title in"
        " (select title from product where {0} group by title having count(*) >= 10)"
        " order by title) to '/dev/null' (format binary)"
    ).format("length(content) > 10 and length(title) > 0 and trim(content) <> ''")
    bench.measure(group, "old query", [embedded.psql(), "-Xqc", old])


def bench_start_up(bench: Bench, group: str) -> None:
    """Build a project without models: what dbt takes whatever the data."""
    empty = bench.folder / "empty_project"
    empty.mkdir(exist_ok=True)
    (empty / "dbt_project.yml").write_text("{name: empty, profile: finetune}")
    dbt: Command = [BIN / "dbt", "--quiet", "build", "--project-dir", empty]
    bench.measure(group, "dbt alone", dbt)


def bench_pipeline(bench: Bench, group: str, *, others: bool) -> None:
    """From the raw table to the files: with all tests and the gate, and without."""
    build: Command = [BIN / "dbt", "--quiet", "build", "--project-dir", "dbt_project"]
    export: Command = [BIN / "finetune", "export", "-o", "out"]
    bench.measure(group, OURS, build, export)
    bench_start_up(bench, group)
    if others:
        bench.alternative(group, "pipeline_old_script", bench.train)


def bench_export(bench: Bench, group: str, *, others: bool) -> None:
    """From the published view to the files, everything built before."""
    export: Command = [BIN / "finetune", "export", "-o", "out"]
    bench.measure(group, f"{OURS} --no-gate", [*export, "--no-gate"])
    bench.measure(group, OURS, export)
    for name in EXPORTS if others else ["floor"]:
        bench.alternative(group, f"export_{name}", bench.train)


def table(runs: dict[str, list[Run]]) -> Iterator[str]:
    """Yield a table: medians, spread, and ratios to ours."""
    ours = next(iter(runs))
    base = statistics.median(run.wall for run in runs[ours])
    yield (
        f"| what | runs | wall s | spread | {ours} / it | CPU s | client MB"
        " | server MB | written MB |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, measured in runs.items():
        walls = [run.wall for run in measured]
        wall = statistics.median(walls)
        cpu = statistics.median(run.cpu for run in measured)
        client = max(run.client_mb for run in measured)
        server = max(run.server_mb for run in measured)
        yield (
            f"| {name.replace('_', ' ')} | {len(walls)} | {wall:.2f}"
            f" | {min(walls):.2f} to {max(walls):.2f} | {base / wall:.2f} | {cpu:.2f}"
            f" | {client:.0f} | {server:.0f} | {measured[0].written_mb:.0f} |"
        )


def growth(results: dict[str, dict[str, list[Run]]]) -> Iterator[str]:
    """Yield a table: the time of our steps a row, and their peak memory, by size."""
    yield "| step | rows | µs a row | / the fewest | client MB | server MB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    steps: dict[str, dict[int, list[Run]]] = {}
    for group, runs in results.items():
        what, _, count = group.removesuffix(" rows").rpartition(", ")
        for name, measured in runs.items():
            if name.startswith(OURS):
                size = int(count.replace(",", ""))
                steps.setdefault(f"{what}: {name}", {})[size] = measured
    for step, sizes in steps.items():
        least = 0.0
        for size, measured in sorted(sizes.items()):
            each = 1e6 * statistics.median(r.wall for r in measured) / size
            least = least or each
            yield (
                f"| {step} | {size:,} | {each:.1f} | {each / least:.2f}"
                f" | {max(run.client_mb for run in measured):.0f}"
                f" | {max(run.server_mb for run in measured):.0f} |"
            )


HEAD = """\
# Results

Written by `make bench`, not by hand. Medians; us and the others in turn. Load: JSON
Lines, but CSV for psql; *row by row* has 50,000 rows only. *Client* is the peak RSS
of the largest process, *server* the peak private memory of all backends together;
CPU is that of the clients. *dbt alone* builds a project without models: what dbt
takes whatever the data is, which is in the times of *dbt run* and of the pipeline;
*statements* are those that store titles and pairs, views and statistics included, as
dbt timed them.
"""


def report(bench: Bench, options: argparse.Namespace) -> str:
    """Return the results as a page."""
    version = subprocess.run(
        [embedded.psql(), "-XAtc", "show server_version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    python = platform.python_version()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        HEAD,
        f"- {today}, {os.cpu_count()} cores, {platform.machine()}, Python {python},",
        f"  PostgreSQL {version} with its default settings",
        f"- load averages at the end: {load}",
    ]
    for group, runs in bench.results.items():
        lines += ["", f"## {group}", "", *table(runs)]
    if options.growth:
        lines += ["", "## Growth", "", *growth(bench.results)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--growth", type=int, nargs="*", default=[250_000, 4_000_000])
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".bench")
    parser.add_argument(
        "--other-python",
        type=lambda p: Path(p).absolute(),
        help="Has the alternatives.",
    )
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    bench = Bench(options.folder.resolve(), options.other_python)
    shutil.copy(REPOSITORY / "profiles.yml.example", bench.folder / "profiles.yml")
    shutil.copytree(
        REPOSITORY / "dbt_project", bench.folder / "dbt_project", dirs_exist_ok=True
    )
    with server(bench.folder):
        for shape in ("most", "few"):
            name = f"{shape} survive, {options.rows:,} rows"
            path = prepare(bench, shape, options.rows, csv=shape == "most")
            for _ in range(options.rounds):
                bench_load(bench, path, f"load, {name}", others=shape == "most")
                bench_pairs(bench, f"storing the pairs, {name}")
                bench_pipeline(bench, f"whole pipeline, {name}", others=True)
                bench_export(bench, f"export, {name}", others=shape == "most")
        for count in options.growth:
            for shape in ("most", "few"):
                name = f"{shape} survive, {count:,} rows"
                path = prepare(bench, shape, count, csv=False)
                # A small size varies more, and costs little.
                for _ in range(3 if count < options.rows else 1):
                    bench_load(bench, path, f"load, {name}", others=False)
                    bench_pairs(bench, f"storing the pairs, {name}")
                    bench_pipeline(bench, f"whole pipeline, {name}", others=True)
                    bench_export(bench, f"export, {name}", others=False)
        page = report(bench, options)
    (HERE / "RESULTS.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
