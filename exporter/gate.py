"""The gate: dbt's data tests, run again on the rows that the export will write."""

from typing import Any, NamedTuple

from exporter.artifacts import Build, DataTest
from exporter.display import counted, row_preview
from exporter.engines.relations import Snapshot
from exporter.errors import FinetuneError
from exporter.progress import Step, say, step


class TestResult(NamedTuple):
    """The result of a data test; the status is "pass", "warn" or "fail", as in dbt."""

    name: str
    status: str
    failures: int


def run_test(snapshot: Snapshot, test: DataTest) -> TestResult:
    """Run one data test as dbt 1.11 does.

    Raises:
        FinetuneError: The test cannot be run, or its `fail_calc` is null.
    """
    limit = "" if test.limit is None else f"limit {test.limit}"
    try:
        [found] = snapshot.query(
            f"select {test.fail_calc} as failures,"
            f" {test.fail_calc} {test.warn_if} as should_warn,"
            f" {test.fail_calc} {test.error_if} as should_error"
            f" from (\n{test.sql}\n{limit}\n) dbt_internal_test"
        )
    except FinetuneError as error:
        raise FinetuneError(f"test {test.name} could not run: {error}") from error
    failures = found["failures"]
    if failures is None:
        raise FinetuneError(
            f"test {test.name}: fail_calc {test.fail_calc} is null; it must be a number"
        )
    if test.severity.lower() == "error" and found["should_error"]:
        status = "fail"
    elif found["should_warn"]:
        status = "warn"
    else:
        status = "pass"
    return TestResult(test.name, status, int(failures))


def failing_rows(
    snapshot: Snapshot, test: DataTest, *, limit: int
) -> list[dict[str, Any]]:
    """Return at most `limit` rows that a test returns."""
    return snapshot.query(
        f"select * from (\n{test.sql}\n) dbt_internal_test limit {limit}"
    )


def run_gate(snapshot: Snapshot, build: Build) -> list[TestResult]:
    """Run every test of the data set in the snapshot and report those that fail.

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
        current=lambda: names[len(results)],
    )
    with step(work):
        for test in build.tests:
            result = run_test(snapshot, test)
            if result.status != "pass":
                say(f"{result.status}: {test.name}: {result.failures:,} found")
            if result.status == "fail":
                for row in failing_rows(snapshot, test, limit=3):
                    say(f"  {row_preview(row)}")
                say(f"  show more: dbt show --limit 100 --select {test.name}")
            results.append(result)
    failed = [result.name for result in results if result.status == "fail"]
    if failed:
        raise FinetuneError(
            f"{len(failed)} of {counted(len(results), 'test')} failed, so nothing was "
            f"written: {', '.join(failed)}; fix the rows or the rules and run dbt build"
        )
    if results:
        count = counted(len(results), "test")
        say(f"gate: {count} on the rows to be written, none failed")
    else:
        say(
            f"warning: no data test is attached to {build.examples} or to what it "
            "reads, so nothing was tested; add data_tests to the model's YAML"
        )
    return results
