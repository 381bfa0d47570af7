"""One operation fails, at every moment: a full disk, a closed folder."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Results
from tests.faults.subjects import SUBJECTS, Subject
from tests.faults.sweep import ERRORS, sweep

MakeSubject = Callable[[str], Subject]


@pytest.mark.faults
@pytest.mark.parametrize("do", ERRORS)
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_failed_operation_is_an_error_of_one_line_and_loses_nothing(
    make_subject: MakeSubject, results: Results, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, results) >= 1
