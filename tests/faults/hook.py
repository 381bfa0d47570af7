"""Within a command under test: count what it does to files, and strike at one moment.

A moment is before or after the n-th open, write, fsync, rename, link, unlink,
mkdir, lock or start of a program that concerns the folders under test. Python's
own audit events and wrapped functions of `os` show them, so that no code of the
command knows of it.
"""

import datetime
import errno
import io
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# What is wrapped, to see when it has ended; the audit events show the beginning.
_WRAPPED = [
    "link",
    "mkdir",
    "open",
    "remove",
    "rename",
    "replace",
    "rmdir",
    "symlink",
    "unlink",
]
_AUDITED = {
    "open": "open",
    "os.link": "link",
    "os.mkdir": "mkdir",
    "os.remove": "unlink",
    "os.rename": "rename",
    "os.rmdir": "rmdir",
    "os.symlink": "symlink",
    "fcntl.flock": "lock",
    "subprocess.Popen": "start",
}


class Plan(NamedTuple):
    """What is to be struck: `do` is a signal or the name of an errno, at `moment`.

    Moments count from 1. `trace` takes one line per moment.
    """

    folders: list[str]
    trace: str
    do: str = ""
    moment: int = 0


class _Hook:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._trace = os.open(plan.trace, flags, 0o600)
        self._count = 0
        self._busy = False
        self._pid = os.getpid()

    def moment(self, when: str, what: str, path: object) -> None:
        """Count a moment, and strike if it is the one."""
        if self._busy or os.getpid() != self._pid:
            return
        self._busy = True
        try:
            shown = self._within(path)
            if shown is None:
                return
            self._count += 1
            line = f"{self._count} {when} {what} {shown}\n"
            os.write(self._trace, line.encode(errors="replace"))
        finally:
            self._busy = False
        if self._count == self._plan.moment:
            self._strike(when, path)

    def _strike(self, when: str, path: object) -> None:
        number = getattr(signal, self._plan.do, None)
        if number is not None:
            os.kill(self._pid, number)
            return
        if when == "before":
            code = getattr(errno, self._plan.do)
            name = path if isinstance(path, str) else None
            raise OSError(code, os.strerror(code), name)

    def _within(self, path: object) -> str | None:
        """Return the path if it is in the folders under test, as it is shown."""
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")  # noqa: PTH115
            except OSError:
                return None
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        text = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 (no open of it)
        for folder in self._plan.folders:
            if text == folder or text.startswith(folder + "/"):
                return text[len(folder) + 1 :] or "."
        return None


def arm(plan: Plan) -> None:
    """Watch this process from now on."""
    hook = _Hook(plan)

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        what = _AUDITED.get(event)
        if what == "start":
            # A program may be anywhere; that one is started concerns us.
            hook.moment("before", what, plan.folders[0])
        elif what:
            place = 1 if what in ("rename", "link", "symlink") else 0
            hook.moment("before", what, arguments[place])

    for name in _WRAPPED:
        setattr(os, name, _then(hook, name, getattr(os, name)))
    os.fsync = _around(hook, "fsync", os.fsync)
    _watch["hook"] = hook
    sys.addaudithook(audited)


def _then(hook: _Hook, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function whose beginning is audited."""
    place = 1 if name in ("rename", "replace", "link", "symlink") else 0
    what = {"remove": "unlink", "replace": "rename"}.get(name, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        result = function(*arguments, **options)
        hook.moment("after", what, arguments[place])
        return result

    return wrapped


def _around(hook: _Hook, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(descriptor: int) -> None:
        hook.moment("before", what, descriptor)
        function(descriptor)
        hook.moment("after", what, descriptor)

    return wrapped


_watch: dict[str, _Hook] = {}


class _WatchedFile(io.FileIO):
    """What the program's own files derive from, as this is imported before it."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401
        hook = _watch.get("hook")
        if hook:
            hook.moment("before", "write", self.fileno())
        count = super().write(data)
        if hook:
            hook.moment("after", "write", self.fileno())
        return count


io.FileIO = _WatchedFile  # type: ignore[misc]


class _Clock(datetime.datetime):
    """A clock that may be wrong."""

    offset = datetime.timedelta()

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Clock":
        return super().now(tz) + cls.offset


def set_clock(seconds: float) -> None:
    """Let the clock be wrong by so many seconds for all that is imported."""
    _Clock.offset = datetime.timedelta(seconds=seconds)
    right = time.time
    time.time = lambda: right() + seconds
    for name, module in [*sys.modules.items()]:
        if name.startswith("exporter.") and hasattr(module, "datetime"):
            vars(module)["datetime"] = _Clock
