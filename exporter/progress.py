"""Progress and messages of the core, for a program that displays them.

The core announces each step of its work with its size and how much of it is done. A
program displays steps if it calls `set_watcher`, and messages if it calls
`set_printer`. Another thread polls the progress, so that it costs the step nothing.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple


class Step(NamedTuple):
    """A step of the work: its name, its size, how much is done, the current item.

    `total` is None if the size is unknown.
    """

    name: str
    total: int | None = None
    unit: str = ""
    done: Callable[[], int] = int
    current: Callable[[], str] = str


Watcher = Callable[[Step], AbstractContextManager[None]]
Printer = Callable[[str], None]

_watcher: ContextVar[Watcher] = ContextVar("watcher", default=lambda _: nullcontext())
_printer: ContextVar[Printer] = ContextVar("printer", default=lambda _: None)


def set_watcher(watcher: Watcher) -> None:
    """Set what displays the progress of each step from now on."""
    _watcher.set(watcher)


def set_printer(printer: Printer) -> None:
    """Set the function that prints each message from now on."""
    _printer.set(printer)


def say(line: str) -> None:
    """Print a message to the user, if a printer is set."""
    _printer.get()(line)


def step(work: Step) -> AbstractContextManager[None]:
    """Display the progress of a step until the block ends, if a watcher is set."""
    return _watcher.get()(work)


def waiting(for_: str) -> AbstractContextManager[None]:
    """Report what the block waits for, if it takes long and a watcher is set."""
    return step(Step(for_))


def reading(action: str, path: Path, file: IO[bytes]) -> Step:
    """Return the step that reads an open file to its end."""
    size = os.fstat(file.fileno()).st_size
    return Step(f"{action} {path.name}", size, "bytes", file.tell)
