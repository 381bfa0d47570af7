"""Inject a fault at one moment of a command after the other, and check each result."""

import signal
from collections.abc import Callable

from tests.faults.conftest import Results
from tests.faults.running import Ended
from tests.faults.subjects import LOST, NEW, OLD, REFUSED, Subject

_LINE = "finetune: "
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE")


def chosen(
    moments: list[str], *, fewer: Callable[[str], bool] | None = None
) -> set[int]:
    """Return the moments for a fault, counted from 1.

    Of inputs that are read one after the other, only the first and the last.
    """
    found = set()
    previous = ""
    for place, moment in enumerate(moments, 1):
        _, when, what, path = moment.split(" ", 3)
        of = f"{when} {what} {path.split('/')[0]}"
        reads = what == "open" and (path.endswith(".yml") or "dbt_project" in path)
        following = "".join(moments[place : place + 1]).partition(" ")[2]
        if reads and of == previous and following.startswith(of):
            continue
        previous = of
        if fewer is None or fewer(moment):
            found.add(place)
    return found


def exit_codes(do: str) -> set[int]:
    """Return the exit codes that are right after a fault."""
    number = getattr(signal, do, None)
    if number is None:
        return {1}
    return {-number if number == signal.SIGKILL else 128 + number}


def verdict(subject: Subject, ended: Ended, do: str, when: str) -> tuple[str, str]:
    """Return the state after a fault, and all errors in it and in a repeated run.

    `when` is the moment of the fault.
    """
    wrong = []
    state = subject.state()
    if state == LOST:
        wrong.append("lost")
    if state == REFUSED and do in SIGNALS and do != "SIGKILL":
        wrong.append("only half of the files are renamed")
    if ended.code == 0 and state != NEW:
        wrong.append("it reports success")
    if ended.code not in exit_codes(do) | ({0} if do not in SIGNALS else set()):
        wrong.append(f"exit code {ended.code}")
    killed = do == "SIGKILL"
    if "Traceback" in ended.stderr or "ignored" in ended.stderr:
        wrong.append("a traceback")
    elif (
        not killed
        and ended.code
        and _LINE not in (ended.stderr.splitlines() or [""])[-1]
    ):
        wrong.append("no line of ours")
    # A file that could not be unlinked stays until the next command.
    if not killed and subject.left_over() and " unlink " not in when:
        wrong.append(f"left over: {subject.left_over()}")
    again = subject.run()
    if state == NEW and not subject.repeats:
        pass  # The repeat refuses, because all is done.
    elif again.code:
        wrong.append(f"the repeat exits with {again.code}: {again.stderr[-300:]}")
    elif subject.state() != NEW:
        wrong.append("the repeat is not complete")
    if subject.left_over():
        wrong.append(f"left over by the repeat: {subject.left_over()}")
    if wrong:
        wrong.append(f"its message: {ended.stderr[-400:]!r}")
    return state, "; ".join(wrong)


def sweep(
    subject: Subject,
    do: str,
    results: Results,
    *,
    fewer: Callable[[str], bool] | None = None,
) -> int:
    """Inject a fault at each chosen moment; fail with all errors."""
    passed = run_without_fault(subject)
    faults = []
    met = 0
    for place in sorted(chosen(passed.moments, fewer=fewer)):
        subject.prepare()
        ended = subject.run(do=do, moment=place)
        if len(ended.moments) < place:
            continue  # With threads, a run may have fewer moments.
        met += 1
        when = ended.moments[place - 1]
        state, wrong = verdict(subject, ended, do, when)
        results.add(do, subject, state)
        faults += [f"at {when}: {wrong}"] * bool(wrong)
    assert not faults, f"{len(faults)} of {met}:\n" + "\n".join(faults)
    return met


def run_without_fault(subject: Subject) -> Ended:
    """Run the command from its old state to its new one, without a fault."""
    subject.prepare()
    assert subject.state() == OLD
    passed = subject.run()
    assert (passed.code, subject.state()) == (0, NEW), passed.stderr
    return passed
