"""The embedded default: a PostgreSQL of our own in a folder, on a socket only.

Every command that needs it attaches to it or starts it; the last one to leave
stops it, unless `start` was asked to keep it running. The traps named here were met
on Linux in November 2026.
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
from exporter.engines.home import PORT, answers, made_home, socket_folder
from exporter.engines.programs import binaries, reachable_binaries, run
from exporter.errors import FinetuneError
from exporter.locks import locked, open_lock
from exporter.signals import stops_wait

# With none of these set, libpq has no server to use, and the embedded one
# serves (PostgreSQL 18 documentation, "Environment Variables").
CONNECTION_VARIABLES = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"),
    *("PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE"),
)

_DATABASE = "postgres"

# The file that says that nobody but `stop` may stop the server.
_KEPT = "kept"

_PACKAGE = Path(__file__).parents[2]


def own_server_chosen() -> bool:
    """Return whether libpq's variables name a server that is not ours."""
    return any(os.environ.get(name) for name in CONNECTION_VARIABLES)


def is_serving(folder: Path) -> bool:
    """Return whether libpq's variables name the server in the folder."""
    return os.environ.get("PGHOST") == str((folder / "socket").resolve())


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the libpq variables of the server in the folder, made if missing.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = made_home(folder)
    with (
        _watched(home) as left,
        os.fdopen(open_lock(home, "users"), "r+b") as users,
    ):
        begun = False
        try:
            with _locked(home):
                begun = True
                _start(home)
                fcntl.flock(users, fcntl.LOCK_SH)
            yield _variables(home)
        finally:
            if begun:
                _leave(home, users.fileno())
            left.set()


def _leave(home: Path, users: int) -> bool:
    """Stop the server, unless another command uses it or it is kept."""
    with _locked(home), suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not (home / _KEPT).exists():
            return _stop(home)
    return False


@contextmanager
def _watched(home: Path) -> Iterator[Event]:
    """Have the server stopped even if this command is killed, or stopped in its end.

    A shell reads from a pipe that ends with us. Set the event when all is well: it
    then gets a line, and does nothing.
    """
    left = Event()
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]);"
        "from exporter.engines.embedded import leave_for; leave_for(sys.argv[1])"
    )
    leave: list[str | Path] = [sys.executable, "-c", code, home, _PACKAGE]
    with subprocess.Popen(
        ["/bin/sh", "-c", 'read -r said || exec "$@"', "finetune", *leave],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    ) as watcher:
        try:
            yield left
        finally:
            with suppress(BrokenPipeError):
                watcher.communicate(b"left\n" if left.is_set() else None)


def leave_for(killed: str) -> None:
    """Stop the server in a folder for a command that was killed, even in its start."""
    home = Path(killed)
    for _ in range(20):
        with os.fdopen(open_lock(home, "users"), "r+b") as users:
            if _leave(home, users.fileno()):
                return
        time.sleep(0.1)


def start(folder: Path) -> dict[str, str]:
    """Start the server in the folder until it is stopped; return its variables.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = made_home(folder)
    with _locked(home):
        _start(home)
        os.close(open_lock(home, _KEPT))
    return _variables(home)


def stop(folder: Path) -> bool:
    """Stop the server in the folder; say whether it was running."""
    if not (folder / "data").exists():
        return False
    home = folder.resolve()
    with _locked(home):
        (home / _KEPT).unlink(missing_ok=True)
        return _stop(home)


def _variables(home: Path) -> dict[str, str]:
    return {
        "PGHOST": str(socket_folder(home)),
        "PGPORT": PORT,
        "PGUSER": cluster.ROLE,
        "PGDATABASE": _DATABASE,
    }


def psql() -> Path:
    """Return the path of the psql that belongs to the server."""
    return binaries() / "psql"


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Keep other commands, and signals, from the middle of a start or stop."""
    with locked(home, "lock", seconds=60), stops_wait():
        yield


def _start(home: Path) -> None:
    sockets = socket_folder(home)
    if answers(sockets):
        return
    bindir, data = reachable_binaries(home), home / "data"
    if not data.exists():
        cluster.initialise(bindir, data)
    options = (
        f"-c listen_addresses= -c unix_socket_directories={shlex.quote(str(sockets))}"
        # No log for a table made in its own transaction, which is safe on the disk
        # before the commit: half of the log of a build, or a twentieth.
        " -c wal_level=minimal -c max_wal_senders=0"
    )
    pg_ctl, log = bindir / "pg_ctl", data / "server.log"
    deadline = time.monotonic() + 15
    while True:
        cluster.clear_dead(data, sockets)
        # Without -l and an empty stdin the server would hold the caller's pipe.
        started = run(pg_ctl, "start", "-w", "-D", data, "-l", log, "-o", options)
        if started.returncode == 0:
            return
        # After kill -9 the children of the old server need a moment to end.
        said = cluster.last_message(log)
        if time.monotonic() > deadline or "still in use" not in said:
            raise FinetuneError(
                f"the embedded PostgreSQL does not start: {said}; see {log}"
            )
        time.sleep(0.2)


def _stop(home: Path) -> bool:
    data = home / "data"
    # One that is just starting does not answer yet.
    if (
        not answers((home / "socket").resolve())
        and cluster.is_dead(data / "postmaster.pid") is not False
    ):
        return False
    pg_ctl = reachable_binaries(home) / "pg_ctl"
    stopped = run(pg_ctl, "stop", "-w", "-m", "fast", "-D", data)
    if stopped.returncode != 0:
        raise FinetuneError(
            f"the embedded PostgreSQL does not stop: {' '.join(stopped.stderr.split())}"
        )
    return True
