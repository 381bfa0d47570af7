"""dbt's data tests, run again on the very rows that will be written."""

from typing import Any, NamedTuple

from exporter.artifacts import Build, DataTest
from exporter.display import counted, visible
from exporter.engines.relations import Snapshot
from exporter.errors import FinetuneError
from exporter.progress import Step, say, step


class TestResult(NamedTuple):
    """How a data test ended: "pass", "warn" or "fail", with dbt's meaning."""

    name: str
    status: str
    failures: int


def run_test(snapshot: Snapshot, test: DataTest) -> TestResult:
    """Run one data test as dbt 1.11 does.

    Raises:
        FinetuneError: The test cannot be run or counts nothing.
    """
    limit = "" if test.limit is None else f"limit {test.limit}"
    try:
        [counted] = snapshot.query(
            f"select {test.fail_calc} as failures,"
            f" {test.fail_calc} {test.warn_if} as should_warn,"
            f" {test.fail_calc} {test.error_if} as should_error"
            f" from (\n{test.sql}\n{limit}\n) dbt_internal_test"
        )
    except FinetuneError as error:
        raise FinetuneError(f"test {test.name} could not run: {error}") from error
    failures = counted["failures"]
    if failures is None:
        raise FinetuneError(
            f"test {test.name}: fail_calc {test.fail_calc} is null; it must be a number"
        )
    if test.severity.lower() == "error" and counted["should_error"]:
        status = "fail"
    elif counted["should_warn"]:
        status = "warn"
    else:
        status = "pass"
    return TestResult(test.name, status, int(failures))


def offending_rows(
    snapshot: Snapshot, test: DataTest, *, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` of the rows that a failed test found."""
    return snapshot.query(
        f"select * from (\n{test.sql}\n) dbt_internal_test limit {limit}"
    )


def run_gate(snapshot: Snapshot, build: Build) -> list[TestResult]:
    """Run every test of the data set in the snapshot and report what fails.

    Raises:
        FinetuneError: A test fails.
    """
    results: list[TestResult] = []
    names = [*(test.name for test in build.tests), ""]
    work = Step(
        "gate",
        len(build.tests),
        "tests",
        done=lambda: len(results),
        at_hand=lambda: names[len(results)],
    )
    with step(work):
        for test in build.tests:
            result = run_test(snapshot, test)
            if result.status != "pass":
                say(f"{result.status}: {test.name}: {result.failures:,} found")
            if result.status == "fail":
                for row in offending_rows(snapshot, test, limit=3):
                    say(f"  {shortened(row)}")
                say(f"  show more: dbt show --limit 100 --select {test.name}")
            results.append(result)
    failed = [result.name for result in results if result.status == "fail"]
    if failed:
        raise FinetuneError(
            f"{len(failed)} of {counted(len(results), 'test')} failed, so nothing was "
            f"written: {', '.join(failed)}; fix the rows or the rules and run dbt build"
        )
    say(f"gate: {counted(len(results), 'test')} on the rows to be written, none failed")
    return results


def shortened(row: dict[str, Any]) -> str:
    """Return a row on one line, each value cut to 60 characters."""
    # Cut before it is made visible, which takes many times the memory of a text.
    cut = {n: v[:60] if isinstance(v, str) else v for n, v in row.items()}
    cells = (visible(f"{name}={value!r}") for name, value in cut.items())
    return ", ".join(c if len(c) <= 60 else f"{c[:57]}..." for c in cells)
