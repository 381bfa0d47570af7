"""Write benchmarks/RESULTS.md: the measurements and the targets."""

import datetime
import os
import platform
import statistics
from collections.abc import Callable, Iterator

from benchmarks.measure import Measured, Run, psql

HEAD = """\
# Results

Written by `make bench`, not by hand: {date}, {cores} cores, {machine}, Python {python},
PostgreSQL {server} as embedded. Medians; all candidates run in turn: five runs at
{rows:,} rows (one where there is no target), three at {few:,}, one at {many:,}.
With *most survive* the rules keep 60 % of the rows, with *few* 3 %.

- *statements*: the SQL that stores titles and pairs, as timed by dbt; *old query*: that
  of the script that this project replaces, which reads the pairs and stores nothing.
- *pipeline*: `finetune export --build`: the build with its tests, the gate and both
  files; *old script*: the old query and two files, without tests.
- *both files*: clean.jsonl and train.jsonl, flushed to the disk and hashed, the same
  bytes as the export's; *one file*: only train.jsonl, neither flushed nor hashed.
- CPU s: CPU seconds of client + server. MB: peak of the largest client process (RSS; at
  least that of the bench itself, 23 to 34) + of all backends of the server (private
  memory).
"""

# The names in the tables, in the order of the pipeline.
NAMES = {
    "load: psql": "psql `\\copy` of CSV",
    "load: csv": "`load` of CSV",
    "load: jsonl": "`load` of JSON Lines",
    "statements": "statements",
    "old query": "old query",
    "pipeline": "pipeline",
    "old_script": "old script",
    "export": "`export`",
    "export --no-gate": "`export --no-gate`",
    "both_psql": "both files: psql",
    "both_adbc": "both files: ADBC and json",
    "both_polars": "both files: ADBC and polars",
    "both_duckdb": "both files: ADBC and DuckDB",
    "one_psql": "one file: psql",
    "one_floor": "no file: the rows read and discarded",
}


class Page:
    """The measurements, with the three sizes."""

    def __init__(self, measured: Measured, rows: int, many: int, few: int) -> None:
        self.measured = measured
        self.rows, self.many, self.few = rows, many, few

    def median(self, rows: int, shape: str, name: str) -> float:
        """Return the median of the seconds; NaN without a measurement."""
        runs = self.measured.runs(rows, shape, name)
        return statistics.median(run.wall for run in runs) if runs else float("nan")

    def ratio(self, rows: int, shape: str, ours: str, theirs: str) -> float:
        """Return the ratio of the medians, ours / theirs."""
        return self.median(rows, shape, ours) / self.median(rows, shape, theirs)

    def cpu(self, name: str) -> float:
        """Return the median of the CPU seconds of a command with little to do."""
        runs = self.measured.runs(10, "", name)
        return statistics.median(run.cpu for run in runs) if runs else float("nan")

    def peak(self, rows: int) -> float:
        """Return the peak memory of the export in megabytes."""
        runs = [
            run
            for name in ("export", "export --no-gate")
            for run in self.measured.runs(rows, "most", name)
        ]
        return max((run.client_mb for run in runs), default=float("nan"))

    def targets(self) -> Iterator[str]:
        """Yield a table of the targets and the values reached."""
        yield "| target | at most | reached | |"
        yield "| --- | ---: | ---: | --- |"
        rows, many, ratio = self.rows, self.many, self.ratio
        asked: list[tuple[str, float, float]] = [
            (
                f"`export --no-gate` / psql, both files, {rows:,} rows",
                0.4,
                ratio(rows, "most", "export --no-gate", "both_psql"),
            )
        ]
        for count in sorted((self.few, rows, many)):
            asked.append((f"peak MB of `export`, {count:,} rows", 64, self.peak(count)))
        for shape, count, most in [
            ("most", rows, 0.5),
            ("most", many, 0.45),
            ("few", rows, 1.4),
            ("few", many, 0.8),
        ]:
            reached = ratio(count, shape, "pipeline", "old_script")
            what = f"pipeline / old script, {shape} survive, {count:,} rows"
            asked.append((what, most, reached))
        for count, most in (rows, 0.7), (many, 0.6):
            for shape in ("most", "few"):
                reached = ratio(count, shape, "statements", "old query")
                what = f"statements / old query, {shape} survive, {count:,} rows"
                asked.append((what, most, reached))
        for form, name in ("CSV", "csv"), ("JSON Lines", "jsonl"):
            reached = ratio(rows, "most", f"load: {name}", "load: psql")
            what = f"`load` of {form} / psql's `\\copy` of CSV, {rows:,} rows"
            asked.append((what, 1.25, reached))
        for name, most in ("--help", 0.12), ("check of ten lines", 0.2):
            asked.append((f"CPU s of `finetune {name}`", most, self.cpu(name)))
        for what, most, reached in asked:
            digits = 0 if most > 10 else 2
            shown = f"{reached:.{digits}f}"
            met = "met" if float(shown) <= most else "**missed**"
            yield f"| {what} | {most:g} | {shown} | {met} |"

    def parts(self) -> Iterator[str]:
        """Yield a table of all measurements at the middle size."""
        yield "| what | survive | runs | s | spread | CPU s | MB |"
        yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
        for name, shown in NAMES.items():
            for shape in ("most", "few"):
                if runs := self.measured.runs(self.rows, shape, name):
                    walls = [run.wall for run in runs]
                    yield (
                        f"| {shown} | {shape} | {len(runs)}"
                        f" | {statistics.median(walls):.2f}"
                        f" | {min(walls):.2f} to {max(walls):.2f}"
                        f" | {middle(runs, lambda r: r.cpu):.1f}"
                        f" + {middle(runs, lambda r: r.server_cpu):.1f}"
                        f" | {max(r.client_mb for r in runs):.0f}"
                        f" + {max(r.server_mb for r in runs):.0f} |"
                    )

    def growth(self) -> Iterator[str]:
        """Yield a table of seconds, and of the client's peaks, at every size."""
        sizes = sorted((self.few, self.rows, self.many))
        shown = [f"{count:,}" for count in sizes]
        yield f"| seconds (client's MB) | survive | {' | '.join(shown)} |"
        yield "| --- | --- " + "| ---: " * len(sizes) + "|"
        growing = ["load: jsonl", "statements", "old query", "pipeline", "old_script"]
        for name in [*growing, "export", "export --no-gate"]:
            for shape in ("most", "few"):
                cells = []
                for count in sizes:
                    runs = self.measured.runs(count, shape, name)
                    peak = max((r.client_mb for r in runs), default=float("nan"))
                    cells.append(f"{self.median(count, shape, name):.2f} ({peak:.0f})")
                yield f"| {NAMES[name]} | {shape} | {' | '.join(cells)} |"

    def small(self) -> Iterator[str]:
        """Yield a table of commands whose time does not depend on the raw rows."""
        yield "| what | runs | s | CPU s | MB |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        helps = [n for n in self.measured.names(10) if n.endswith(" --help")]
        slowest = max(helps, key=self.cpu, default="")
        shown: list[tuple[int, str, str, str]] = [
            (10, "", name, f"`finetune {name}`")
            for name in ("--help", "check of ten lines", slowest)
        ]
        shown[-1] = (10, "", slowest, f"{shown[-1][3]}, the slowest help")
        for name in ("export of the sample", "pipeline of the sample"):
            shown.append((10, "", name, f"{name} (363 rows)"))
        shown.append((10, "", "dbt without models", "dbt, a project without models"))
        for name in ("check", "diff"):
            for count in self.measured.named("most", name):
                shown.append((count, "most", name, f"`{name}` of {count:,} lines"))
        for count, shape, name, what in shown:
            if runs := self.measured.runs(count, shape, name):
                yield (
                    f"| {what} | {len(runs)} | {middle(runs, lambda r: r.wall):.2f}"
                    f" | {middle(runs, lambda r: r.cpu):.2f}"
                    f" | {max(r.client_mb for r in runs):.0f} |"
                )


def middle(runs: list[Run], value: Callable[[Run], float]) -> float:
    """Return the median of a value of the runs."""
    return statistics.median(map(value, runs))


def written(measured: Measured, rows: int, many: int, few: int) -> str:
    """Return the results as a Markdown page."""
    page = Page(measured, rows, many, few)
    head = HEAD.format(
        date=datetime.datetime.now(datetime.timezone.utc).date(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        python=platform.python_version(),
        server=psql("show server_version").split()[0],
        rows=rows,
        few=few,
        many=many,
    )
    lines = [head, "## Targets", "", *page.targets()]
    lines += ["", f"## {rows:,} rows", "", *page.parts()]
    lines += ["", "## Growth", "", *page.growth()]
    lines += ["", "## Independent of the rows", "", *page.small()]
    return "\n".join(lines) + "\n"
