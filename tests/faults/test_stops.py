"""A command is stopped or killed at every moment; nothing is lost, a repeat works."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Results
from tests.faults.subjects import SUBJECTS, Subject
from tests.faults.sweep import SIGNALS, sweep

MakeSubject = Callable[[str], Subject]


def publishes(moment: str) -> bool:
    """Return whether files are renamed at this moment, or just before or after."""
    _, _, what, path = moment.split(" ", 3)
    return what in ("rename", "fsync") or (what == "unlink" and ".part" not in path)


@pytest.mark.parametrize(
    ("name", "do"),
    [
        pytest.param("export", "SIGKILL", marks=pytest.mark.slow),
        ("export", "SIGTERM"),
        ("load", "SIGKILL"),
    ],
)
def test_a_stop_while_files_are_renamed_loses_nothing(
    make_subject: MakeSubject, results: Results, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, results, fewer=publishes) >= 5


@pytest.mark.faults
@pytest.mark.parametrize("do", SIGNALS)
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_stop_at_any_moment_loses_nothing(
    make_subject: MakeSubject, results: Results, name: str, do: str
) -> None:
    assert sweep(make_subject(name), do, results) >= 10


@pytest.mark.faults
@pytest.mark.parametrize("name", [*SUBJECTS])
def test_a_forked_command_has_the_moments_of_a_started_one(
    make_subject: MakeSubject, name: str
) -> None:
    subject = make_subject(name)
    passed = []
    for cold in (False, True):
        subject.prepare()
        moments = subject.run(cold=cold).moments
        passed.append(sorted(line.split(" ", 3)[1:3] for line in moments))
    assert passed[0] == passed[1]
