"""The status of a data test, which depends on its config as in dbt."""

import sqlite3
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from exporter.artifacts import DataTest
from exporter.display import row_preview
from exporter.engines.relations import Column, Relation, Row
from exporter.errors import FinetuneError
from exporter.gate import failing_rows, run_test

TEST = DataTest(
    unique_id="test.shop.few",
    name="few",
    sql="select n, 2 as copies from numbers where n >= 0 -- found\n",
    severity="error",
    fail_calc="count(*)",
    warn_if="!= 0",
    error_if="!= 0",
    limit=None,
)


class Snapshot:
    """A snapshot of a small engine, in which `numbers` has this many rows."""

    def __init__(self, rows: int) -> None:
        self._connection = sqlite3.connect(":memory:")
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("create table numbers (n)")
        numbers = [(number,) for number in range(rows)]
        self._connection.executemany("insert into numbers values (?)", numbers)

    def query(self, statement: str) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in self._connection.execute(statement)]
        except sqlite3.Error as error:
            raise FinetuneError(str(error)) from error

    def quoted(self, *names: str) -> str:
        return ".".join(f'"{name}"' for name in names)

    def columns(self, relation: Relation) -> list[Column]:
        raise NotImplementedError

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        raise NotImplementedError

    def metadata(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize(
    ("rows", "settings", "status", "failures"),
    [
        (0, {}, "pass", 0),
        (1, {}, "fail", 1),
        (1, {"severity": "warn"}, "warn", 1),
        (0, {"severity": "warn"}, "pass", 0),
        (7, {"error_if": ">7"}, "warn", 7),
        (8, {"error_if": ">7"}, "fail", 8),
        (8, {"error_if": ">7", "severity": "warn"}, "warn", 8),
        (6, {"error_if": ">7", "warn_if": ">6"}, "pass", 6),
        (7, {"error_if": ">7", "warn_if": ">6"}, "warn", 7),
        (9, {"error_if": ">7", "limit": 7}, "warn", 7),
        (9, {"error_if": ">7", "limit": 8}, "fail", 8),
        (3, {"fail_calc": "sum(copies)", "error_if": ">5"}, "fail", 6),
        (3, {"fail_calc": "sum(copies)", "error_if": ">6"}, "warn", 6),
    ],
)
def test_a_data_test_has_the_status_that_dbt_gives_it(
    rows: int, settings: dict[str, Any], status: str, failures: int
) -> None:
    result = run_test(Snapshot(rows), TEST._replace(**settings))
    assert result == ("few", status, failures)


def test_a_test_whose_fail_calc_is_null_is_an_error() -> None:
    with pytest.raises(FinetuneError) as caught:
        run_test(Snapshot(0), TEST._replace(fail_calc="sum(copies)"))
    assert str(caught.value) == (
        "test few: fail_calc sum(copies) is null; it must be a number"
    )


def test_a_test_that_cannot_run_is_named() -> None:
    with pytest.raises(FinetuneError) as caught:
        run_test(Snapshot(0), TEST._replace(sql="select * from gone"))
    assert str(caught.value) == "test few could not run: no such table: gone"


def test_at_most_limit_failing_rows_are_returned() -> None:
    rows = failing_rows(Snapshot(5), TEST, limit=3)
    assert rows == [{"n": n, "copies": 2} for n in range(3)]


def test_a_row_preview_is_one_line_with_its_values_cut() -> None:
    assert row_preview({"id": 7, "text": "a\n"}) == "id=7, text='a\\n'"
    assert row_preview({"t": "x" * 56}) == f"t='{'x' * 56}'"
    assert row_preview({"t": "x" * 57}) == f"t='{'x' * 54}..."
    assert row_preview({"n": 10**70}) == f"n=1{'0' * 54}..."
