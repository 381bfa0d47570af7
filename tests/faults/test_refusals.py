"""The system refuses one operation, at every moment: a full disk, a closed folder."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Ledger
from tests.faults.subjects import SUBJECTS, Subject
from tests.faults.sweep import ERRORS, sweep

MakeSubject = Callable[[str], Subject]


@pytest.mark.faults
@pytest.mark.parametrize("do", ERRORS)
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_refused_operation_is_one_clear_line_and_loses_nothing(
    make_subject: MakeSubject, ledger: Ledger, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, ledger) >= 1
