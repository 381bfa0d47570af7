"""A command is stopped or killed at every moment; nothing is lost, all is repeated."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Ledger
from tests.faults.subjects import SUBJECTS, Subject
from tests.faults.sweep import SIGNALS, sweep

MakeSubject = Callable[[str], Subject]


def publishes(moment: str) -> bool:
    """Say whether names are exchanged then, or nearly."""
    _, _, what, path = moment.split(" ", 3)
    return what in ("rename", "fsync") or (what == "unlink" and ".part" not in path)


@pytest.mark.parametrize(
    ("name", "do"),
    [
        ("export", "SIGKILL"),
        ("export", "SIGTERM"),
        ("load", "SIGKILL"),
    ],
)
def test_a_stop_while_names_are_exchanged_loses_nothing(
    make_subject: MakeSubject, ledger: Ledger, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, ledger, fewer=publishes) >= 5


@pytest.mark.faults
@pytest.mark.parametrize("do", SIGNALS)
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_stop_at_any_moment_loses_nothing(
    make_subject: MakeSubject, ledger: Ledger, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, ledger) >= 10


@pytest.mark.faults
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_warm_start_passes_the_moments_of_a_cold_one(
    make_subject: MakeSubject, name: str
) -> None:
    subject = make_subject(name)
    passed = []
    for cold in (False, True):
        subject.prepare()
        moments = subject.run(cold=cold).moments
        passed.append(sorted(line.split(" ", 3)[1:3] for line in moments))
    assert passed[0] == passed[1]
