"""The server refuses by its own limits: time, locks, disk, writing."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.faults.conftest import Results
from tests.faults.subjects import LOST, OLD, Export, Load, Subject
from tests.faults.sweep import verdict

MakeSubject = Callable[[str], Subject]

LIMITS = {
    "statement_timeout": ["1", "2", "5", "10", "20", "50", "100"],
    "transaction_timeout": ["1", "5", "10", "30", "100"],
    "idle_in_transaction_session_timeout": ["1", "2", "5", "10"],
    "temp_file_limit": ["0"],
    "default_transaction_read_only": ["on"],
    "lock_timeout": ["1", "300"],
}
RELATIONS = {Export.name: "finetune.training_pairs", Load.name: "product"}


@pytest.mark.faults
@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("command", [Export.name, Load.name])
def test_a_limit_of_the_server_is_an_error_of_one_line(
    make_subject: MakeSubject, results: Results, command: str, limit: str
) -> None:
    subject = make_subject(command)
    faults = []
    for value in LIMITS[limit]:
        subject.prepare()
        with ExitStack() as stack:
            if limit == "lock_timeout":
                other = stack.enter_context(subject.workspace.connect())
                stack.enter_context(other.transaction())
                other.execute(f"lock table {RELATIONS[command]}".encode())
            options = f"-c {limit}={value} -c work_mem=64kB"
            ended = subject.run(variables={"PGOPTIONS": options})
        state, wrong = verdict(subject, ended, limit, "")
        results.add(limit, subject, state)
        faults += [f"{limit}={value}: {wrong}"] * bool(wrong)
        if limit == "lock_timeout":
            assert (ended.code, state) == (1, OLD)
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(("milliseconds", "said"), [(1500, False), (2500, True)])
def test_the_holder_of_a_lock_is_named_after_two_seconds(
    make_subject: MakeSubject, milliseconds: int, said: bool
) -> None:
    subject = make_subject(Load.name)
    subject.prepare()
    with subject.workspace.connect() as other, other.transaction():
        other.execute("lock table product")
        # The server's own clock ends the wait, however slow this machine is.
        limited = {"PGOPTIONS": f"-c lock_timeout={milliseconds}"}
        ended = subject.run(variables=limited)
    assert ended.code == 1
    named = "waiting for a lock on public.product held by " in ended.stderr
    assert named is said, ended.stderr
    assert subject.state() not in (LOST, "new")
