"""A signal stops a command in order, with one line that says what was done."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING

from exporter.cli.console import say
from exporter.signals import STOP_SIGNALS, handle_stops

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_report: ContextVar[str | Callable[[], str]] = ContextVar("report")


class StoppedBySignal(SystemExit):
    """A signal stopped the command.

    It is no KeyboardInterrupt, because Click replaces that by an exception of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def report_if_stopped(done: str | Callable[[], str]) -> None:
    """Set what a command reports as done if a signal stops it from now on."""
    _report.set(done)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals stop the block, which runs its `finally` clauses.

    Whatever these raise, the command ends with one line. A signal that was ignored
    before, as under nohup, stays ignored.
    """
    before = {n: signal.getsignal(n) for n in STOP_SIGNALS}
    report_if_stopped("nothing was changed")
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = _stop_again
        handle_stops(_stop)
        yield
    except BaseException as error:
        stop = find_stop(error)
        if stop is None:
            raise
        handle_stops(signal.SIG_IGN)
        done = _report.get()
        say(f"finetune: stopped; {done if isinstance(done, str) else done()}")
        raise stop from None
    finally:
        # A stop that Python dropped at the very end comes too late.
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    raise StoppedBySignal(number)


def find_stop(error: BaseException | None) -> StoppedBySignal | None:
    """Return the StoppedBySignal among an exception and its causes, if any."""
    while error is not None and not isinstance(error, StoppedBySignal):
        error = error.__cause__ or error.__context__
    return error


def _stop_again(unraisable: "UnraisableHookArgs") -> None:
    """Raise StoppedBySignal again, shortly after Python dropped it.

    Python drops exceptions in the callback of a weak reference, in `__del__` and in a
    generator that it deletes.
    """
    if isinstance(unraisable.exc_value, StoppedBySignal):
        number = unraisable.exc_value.number
        signal.signal(signal.SIGALRM, lambda *_: _stop(number, None))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(unraisable)
