"""Work that takes its time, and what is said meanwhile, for whoever shows it.

The code at work announces what it is and how much is done; a command line may ask to
show it (`announce_to`, `talk_to`). A step is asked for its progress by another thread,
so that its loops pay nothing for it.
"""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple


class Step(NamedTuple):
    """Work: its name, its size, how much is done, and what is at hand.

    `total` is None where only an end can be waited for.
    """

    name: str
    total: int | None = None
    unit: str = ""
    done: Callable[[], int] = int
    at_hand: Callable[[], str] = str


Watcher = Callable[[Step], AbstractContextManager[None]]

_watcher: ContextVar[Watcher] = ContextVar("watcher", default=lambda _: nullcontext())
_talk: ContextVar[Callable[[str], None]] = ContextVar("talk", default=lambda _: None)


def announce_to(watcher: Watcher) -> None:
    """Let a watcher know of each step from now on."""
    _watcher.set(watcher)


def talk_to(talk: Callable[[str], None]) -> None:
    """Let a function have each line that is said from now on."""
    _talk.set(talk)


def say(line: str) -> None:
    """Say a line to the user, if somebody listens."""
    _talk.get()(line)


def step(work: Step) -> AbstractContextManager[None]:
    """Let the watcher, if there is one, show the work until the block ends."""
    return _watcher.get()(work)


def waiting(for_: str) -> AbstractContextManager[None]:
    """Let the watcher say what is waited for, if it takes long."""
    return step(Step(for_))


def reading(doing: str, path: Path, file: IO[bytes]) -> Step:
    """Return the step that reads an open file to its end."""
    size = os.fstat(file.fileno()).st_size
    return Step(f"{doing} {path.name}", size, "bytes", file.tell)
