"""Strike a command at one moment after the other, and judge what follows each."""

import signal
from collections.abc import Callable

from tests.faults.conftest import Ledger
from tests.faults.running import Ended
from tests.faults.subjects import LOST, NEW, OLD, REFUSED, Subject

_LINE = "finetune: "
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP")
ERRORS = ("ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE")


def chosen(
    moments: list[str], *, fewer: Callable[[str], bool] | None = None
) -> set[int]:
    """Return the moments to strike at, counted from 1.

    Of inputs that are read one after the other, the first and the last.
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
    """Return the exit codes that a command may end with after that."""
    number = getattr(signal, do, None)
    if number is None:
        return {1}
    return {-number if number == signal.SIGKILL else 128 + number}


def judged(subject: Subject, ended: Ended, do: str, struck: str) -> tuple[str, str]:
    """Return what stands after a fault, and all that is wrong about it, if anything.

    `struck` says when it was. The plain repeat of the command is a part of it.
    """
    wrong = []
    state = subject.state()
    if state == LOST:
        wrong.append("lost")
    if state == REFUSED and do in SIGNALS and do != "SIGKILL":
        wrong.append("half of the names are exchanged")
    if ended.code == 0 and state != NEW:
        wrong.append("all is well, it says")
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
        wrong.append("no line says what stands")
    # What could not be unlinked is there until the next command.
    if not killed and subject.left_over() and " unlink " not in struck:
        wrong.append(f"left over: {subject.left_over()}")
    again = subject.run()
    if state == NEW and not subject.repeats:
        pass  # Done is done; the repeat says so.
    elif again.code:
        wrong.append(f"the repeat exits with {again.code}: {again.stderr[-300:]}")
    elif subject.state() != NEW:
        wrong.append("the repeat is not whole")
    if subject.left_over():
        wrong.append(f"left over by the repeat: {subject.left_over()}")
    if wrong:
        wrong.append(f"it said: {ended.stderr[-400:]!r}")
    return state, "; ".join(wrong)


def sweep(
    subject: Subject,
    do: str,
    ledger: Ledger,
    *,
    fewer: Callable[[str], bool] | None = None,
) -> int:
    """Strike at every moment that is chosen; fail with all that went wrong."""
    passed = dry_run(subject)
    faults = []
    met = 0
    for place in sorted(chosen(passed.moments, fewer=fewer)):
        subject.prepare()
        ended = subject.run(do=do, moment=place)
        if len(ended.moments) < place:
            continue  # Threads made it fewer moments this time.
        met += 1
        struck = ended.moments[place - 1]
        state, wrong = judged(subject, ended, do, struck)
        ledger.add(do, subject, state)
        faults += [f"at {struck}: {wrong}"] * bool(wrong)
    assert not faults, f"{len(faults)} of {met}:\n" + "\n".join(faults)
    return met


def dry_run(subject: Subject) -> Ended:
    """Run the command from its old state to its new one, with no fault."""
    subject.prepare()
    assert subject.state() == OLD
    passed = subject.run()
    assert (passed.code, subject.state()) == (0, NEW), passed.stderr
    return passed
