"""dbt's data tests, run again on the very rows that will be written."""

from typing import Any, NamedTuple, Protocol

from exporter.artifacts import DataTest
from exporter.errors import FinetuneError


class Queries(Protocol):
    """Whatever answers a query within one snapshot."""

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""


class TestResult(NamedTuple):
    """How a data test ended: "pass", "warn" or "fail", with dbt's meaning."""

    name: str
    status: str
    failures: int


def run_test(snapshot: Queries, test: DataTest) -> TestResult:
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
            f"test {test.name}: fail_calc {test.fail_calc} gives null; make it a number"
        )
    if test.severity == "error" and counted["should_error"]:
        status = "fail"
    elif counted["should_warn"]:
        status = "warn"
    else:
        status = "pass"
    return TestResult(test.name, status, int(failures))


def offending_rows(
    snapshot: Queries, test: DataTest, *, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` of the rows that a failed test found."""
    return snapshot.query(
        f"select * from (\n{test.sql}\n) dbt_internal_test limit {limit}"
    )
