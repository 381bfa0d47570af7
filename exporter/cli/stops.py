"""A signal that stops a command ends it in order, with one line."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING

from exporter.cli.console import say
from exporter.signals import STOPS, handle_stops

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_STANDING: ContextVar[str | Callable[[], str]] = ContextVar("standing")


class Stopped(SystemExit):
    """A signal came. No KeyboardInterrupt, which Click would make its own of."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def stands(what: str | Callable[[], str]) -> None:
    """Set what the line of a stopped command says was done, from now on."""
    _STANDING.set(what)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let signals stop the block, which is left through its `finally` clauses.

    Whatever these do, the command ends with one line. A signal that is ignored, as
    under nohup, stays so.
    """
    before = {n: signal.getsignal(n) for n in STOPS}
    stands("nothing was changed")
    hook = sys.unraisablehook
    try:
        sys.unraisablehook = _raise_again
        handle_stops(_stop)
        yield
    except BaseException as error:
        stop = stop_behind(error)
        if stop is None:
            raise
        handle_stops(signal.SIG_IGN)
        what = _STANDING.get()
        say(f"finetune: stopped; {what if isinstance(what, str) else what()}")
        raise stop from None
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


def stop_behind(error: BaseException | None) -> Stopped | None:
    """Return the stop that an exception is, or that it came of."""
    while error is not None and not isinstance(error, Stopped):
        error = error.__cause__ or error.__context__
    return error


def _raise_again(lost: "UnraisableHookArgs") -> None:
    """Stop once more where Python drops an exception.

    It does so in the callback of a weak reference, in `__del__`, and where a
    generator is thrown away.
    """
    if isinstance(lost.exc_value, Stopped):
        number = lost.exc_value.number
        signal.signal(signal.SIGALRM, lambda *_: _stop(number, None))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(lost)
