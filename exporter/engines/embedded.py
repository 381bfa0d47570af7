"""The embedded PostgreSQL: a server in a folder, reachable only by its socket.

Every command that needs it attaches to it or starts it; the last one to detach stops
it, unless `start` keeps it running. What the comments report was found on Linux in
November 2026.
"""

import fcntl
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from exporter.engines import cluster
from exporter.engines.home import (
    PORT,
    is_listening,
    make_home,
    require_owner,
    socket_folder,
)
from exporter.engines.programs import find_binaries, run, runnable_binaries
from exporter.errors import FinetuneError
from exporter.locks import locked, open_lock
from exporter.signals import defer_stops

# If none of these is set, libpq has no server to use, and the embedded one is started
# (PostgreSQL 18 documentation, "Environment Variables").
CONNECTION_VARIABLES = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"),
    *("PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE"),
)

# While this file exists, only `stop` stops the server.
_KEPT = "kept"

_PACKAGE = Path(__file__).parents[2]


def connection_is_set() -> bool:
    """Return whether one of libpq's connection variables is set."""
    return any(os.environ.get(name) for name in CONNECTION_VARIABLES)


def is_connected_to(folder: Path) -> bool:
    """Return whether PGHOST is the server in the folder."""
    return os.environ.get("PGHOST") == str((folder / "socket").resolve())


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the libpq variables of the server in the folder; start it if necessary.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = make_home(folder)
    with (
        _watchdog(home) as detached,
        os.fdopen(open_lock(home, "users"), "r+b") as users,
    ):
        attached = False
        try:
            with _locked(home):
                attached = True
                _start(home)
                fcntl.flock(users, fcntl.LOCK_SH)
            yield _variables(home)
        finally:
            if attached:
                _detach(home, users.fileno())
            detached.set()


def _detach(home: Path, users: int) -> bool:
    """Stop the server, unless another command is attached or it is kept."""
    with _locked(home), suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (home / _KEPT).exists():
            return _stop(home)
    return False


@contextmanager
def _watchdog(home: Path) -> Iterator[Event]:
    """Detach from the server even if this command is killed before it does so itself.

    A shell reads from a pipe to this process. If the event is set, the shell reads a
    line and ends; if the pipe closes without one, the shell detaches.
    """
    detached = Event()
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from exporter.engines.embedded import detach_killed;"
        "detach_killed(sys.argv[1])"
    )
    detach: list[str | Path] = [sys.executable, "-c", code, home, _PACKAGE]
    with subprocess.Popen(
        ["/bin/sh", "-c", 'read -r line || exec "$@"', "finetune", *detach],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    ) as shell:
        try:
            yield detached
        finally:
            with suppress(BrokenPipeError):
                shell.communicate(b"detached\n" if detached.is_set() else None)


def detach_killed(folder: str) -> None:
    """Stop the server in a folder for a command that was killed, even at its start."""
    home = Path(folder)
    for _ in range(20):
        with os.fdopen(open_lock(home, "users"), "r+b") as users:
            if _detach(home, users.fileno()):
                return
        time.sleep(0.1)


def start(folder: Path) -> dict[str, str]:
    """Start the server in the folder until `stop`; return its variables.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = make_home(folder)
    with _locked(home):
        _start(home)
        os.close(open_lock(home, _KEPT))
    return _variables(home)


def stop(folder: Path) -> bool:
    """Stop the server in the folder; return whether it was running."""
    if not (folder / "data").exists():
        return False
    require_owner(folder)
    home = folder.resolve()
    with _locked(home):
        (home / _KEPT).unlink(missing_ok=True)
        return _stop(home)


def _variables(home: Path) -> dict[str, str]:
    return {
        "PGHOST": str(socket_folder(home)),
        "PGPORT": PORT,
        "PGUSER": cluster.ROLE,
        "PGDATABASE": "postgres",
    }


def psql() -> Path:
    """Return the path of the server's psql."""
    return find_binaries() / "psql"


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Keep other commands, and signals, out of a start or a stop."""
    with locked(home, "lock", seconds=60), defer_stops():
        yield


def _start(home: Path) -> None:
    sockets = socket_folder(home)
    if is_listening(sockets):
        return
    bindir, data = runnable_binaries(home), home / "data"
    if not data.exists():
        cluster.initialize(bindir, data)
    options = (
        f"-c listen_addresses= -c unix_socket_directories={shlex.quote(str(sockets))}"
        # PostgreSQL then writes no log for a table that is created in the same
        # transaction, but syncs it before the commit: a build writes half of the log
        # or less, down to a twentieth.
        " -c wal_level=minimal -c max_wal_senders=0"
    )
    pg_ctl, log = bindir / "pg_ctl", data / "server.log"
    # A shell of pg_ctl would expand a $ in an absolute path.
    place = ("-D", data.name, "-l", log.relative_to(home))
    deadline = time.monotonic() + 15
    while True:
        cluster.remove_stale_pid_files(data, sockets)
        logged = len(cluster.read_log(log))
        # Without -l and with a stdin, the server would keep the caller's pipe open.
        started = run(pg_ctl, "start", "-w", *place, "-o", options, cwd=home)
        if started.returncode == 0:
            return
        # After kill -9, the children of the old server take a moment to end.
        reason = cluster.reason_of(cluster.read_log(log)[logged:] or started.stderr)
        if time.monotonic() > deadline or "still in use" not in reason:
            raise FinetuneError(
                f"the embedded PostgreSQL does not start: {reason}; see {log}"
            )
        time.sleep(0.2)


def _stop(home: Path) -> bool:
    data = home / "data"
    # A server that is starting is not listening yet.
    if (
        not is_listening((home / "socket").resolve())
        and cluster.is_stale(data / "postmaster.pid") is not False
    ):
        return False
    pg_ctl = runnable_binaries(home) / "pg_ctl"
    stopped = run(pg_ctl, "stop", "-w", "-m", "fast", "-D", data)
    if stopped.returncode != 0:
        raise FinetuneError(
            f"the embedded PostgreSQL does not stop: {' '.join(stopped.stderr.split())}"
        )
    return True
