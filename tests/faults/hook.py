"""In a command under test: count its operations on files, and inject a fault in one.

A moment is before or after the n-th open, write, fsync, rename, link, unlink, mkdir,
lock or start of a program in the folders under test. Python's audit events and wrapped
functions of `os` report them, so the code of the command is not changed.
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

# Wrapped to report the end of the operation; audit events report its beginning.
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
    """The fault to inject at `moment`: `do` is the name of a signal or of an errno.

    Moments count from 1. The file `trace` gets one line per moment.
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
        """Count a moment, and inject the fault if it is the one of the plan."""
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
            self._inject(when, path)

    def _inject(self, when: str, path: object) -> None:
        number = getattr(signal, self._plan.do, None)
        if number is not None:
            os.kill(self._pid, number)
            return
        if when == "before":
            code = getattr(errno, self._plan.do)
            name = path if isinstance(path, str) else None
            raise OSError(code, os.strerror(code), name)

    def _within(self, path: object) -> str | None:
        """Return the path relative to its folder under test, or None outside."""
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
    """Report the moments of this process from now on."""
    hook = _Hook(plan)

    def audited(event: str, arguments: tuple[Any, ...]) -> None:
        what = _AUDITED.get(event)
        if what == "start":
            # Programs outside of the folders count, too.
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
    """Wrap a function whose beginning has an audit event."""
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
    """The base class of the program's files, because this module is imported first."""

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
    """A clock with an offset."""

    offset = datetime.timedelta()

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Clock":
        return super().now(tz) + cls.offset


def set_clock(seconds: float) -> None:
    """Set the clocks of all imported modules this many seconds ahead."""
    _Clock.offset = datetime.timedelta(seconds=seconds)
    right = time.time
    time.time = lambda: right() + seconds
    for name, module in [*sys.modules.items()]:
        if name.startswith("exporter.") and hasattr(module, "datetime"):
            vars(module)["datetime"] = _Clock
