"""The embedded default: a PostgreSQL of our own in a folder, on a socket only.

Every command that needs it attaches to it or starts it; the last one to leave
stops it, unless `start` was asked to keep it running. The traps named here were met
on Linux in November 2026.
"""

import fcntl
import os
import re
import shlex
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.engines.programs import (
    binaries,
    may_enter,
    reachable_binaries,
    run,
    server_user,
)
from exporter.errors import FinetuneError
from exporter.files import locked, open_lock, signals_wait

# With none of these set, libpq has been told nothing, and the embedded server
# serves (PostgreSQL 18 documentation, "Environment Variables").
CONNECTION_VARIABLES = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGDATABASE",
    "PGUSER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
)

_PORT = "5432"
_ROLE = "app"
_DATABASE = "postgres"

# A socket's path has at most 107 bytes on Linux and 103 on macOS, of which
# "/.s.PGSQL.5432.lock" takes 19.
MAX_SOCKET_FOLDER = 84


def socket_beside(folder: Path) -> bool:
    """Say whether a client reaches the socket below the folder's own name."""
    return len(os.fsencode(folder / "socket")) <= MAX_SOCKET_FOLDER


def own_server_chosen() -> bool:
    """Say whether libpq's variables name a server that is not ours."""
    return any(os.environ.get(name) for name in CONNECTION_VARIABLES)


def is_serving(folder: Path) -> bool:
    """Say whether libpq's variables name the server in the folder."""
    return os.environ.get("PGHOST") == str((folder / "socket").resolve())


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the libpq variables of the server in the folder, made if missing.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = _home(folder)
    with os.fdopen(open_lock(home, "users"), "r+b") as users:
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


def _leave(home: Path, users: int) -> None:
    """Stop the server, unless another command uses it or it is kept."""
    with _locked(home), suppress(BlockingIOError):
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _kept(home).exists():
            _stop(home)


def start(folder: Path) -> dict[str, str]:
    """Start the server in the folder until it is stopped; return its variables.

    Raises:
        FinetuneError: There is no PostgreSQL to run, or it does not start.
    """
    home = _home(folder)
    with _locked(home):
        _start(home)
        _kept(home).touch()
    return _variables(home)


def stop(folder: Path) -> bool:
    """Stop the server in the folder; say whether it was running."""
    if not (folder / "data").exists():
        return False
    home = folder.resolve()
    with _locked(home):
        _kept(home).unlink(missing_ok=True)
        return _stop(home)


def _kept(home: Path) -> Path:
    """Return the file that says that nobody but `stop` may stop the server."""
    return home / "kept"


def _variables(home: Path) -> dict[str, str]:
    return {
        "PGHOST": str(_socket_folder(home)),
        "PGPORT": _PORT,
        "PGUSER": _ROLE,
        "PGDATABASE": _DATABASE,
    }


def psql() -> Path:
    """Return the path of the psql that belongs to the server."""
    return binaries() / "psql"


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Keep other commands, and signals, from the middle of a start or stop."""
    with locked(home, "lock", seconds=60), signals_wait():
        yield


def _give(path: Path) -> None:
    """Make the folder the server's own: nobody else may look into it.

    A link in its place is refused, as what it names would be handed over.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise FinetuneError(
            f"{path}: is a link, but the server needs a folder; remove it"
        ) from error
    try:
        user = server_user()
        if user is not None:
            os.fchown(descriptor, user.pw_uid, user.pw_gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def _home(folder: Path) -> Path:
    """Return the real folder of the server, made if missing.

    The server's user cannot enter a project below a closed folder such as
    /root; then the data lives below /var/tmp and the folder is a link to it.
    """
    try:
        if folder.is_symlink() and not folder.exists():
            folder.unlink(missing_ok=True)
        # Of several commands at once, one makes it.
        with suppress(FileExistsError):
            if may_enter(folder.parent):
                folder.mkdir(exist_ok=True)
            elif not folder.exists():
                elsewhere = tempfile.mkdtemp(prefix="finetune-", dir="/var/tmp")
                Path(elsewhere).chmod(0o711)
                folder.symlink_to(elsewhere)
        owner = folder.lstat().st_uid
        if os.geteuid() == 0 != owner:
            raise FinetuneError(
                f"{folder}: belongs to user {owner}; run as that user, not as root"
            )
        if not folder.is_symlink() and owner == os.geteuid():
            folder.chmod(0o711)
        return folder.resolve()
    except OSError as error:
        raise FinetuneError(
            f"{folder}: {error.strerror}; run in a folder you may write to, or set "
            "PGHOST to a server of your own"
        ) from error


def _socket_folder(home: Path) -> Path:
    """Return the folder of the socket, a short one where the home's is long."""
    folder = home / "socket"
    real = folder.resolve()
    if _answers(real):
        return real
    if folder.is_symlink():
        if _is_the_servers(real):
            return real
        folder.unlink()
    if len(os.fsencode(folder)) <= MAX_SOCKET_FOLDER:
        _give(folder)
        return folder
    real = Path(tempfile.mkdtemp(prefix="finetune-", dir="/tmp"))
    _give(real)
    folder.symlink_to(real)
    return real


def _is_the_servers(folder: Path) -> bool:
    """Say whether the folder has been given to the server's user before."""
    user = server_user()
    try:
        there = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user.pw_uid
    return there.st_uid == owner and stat.S_IMODE(there.st_mode) == 0o700


def _answers(folder: Path) -> bool:
    """Say whether a server accepts connections; a pid alone proves nothing."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(folder / f".s.PGSQL.{_PORT}"))
        except OSError:
            return False
    return True


def _start(home: Path) -> None:
    sockets = _socket_folder(home)
    if _answers(sockets):
        return
    bindir = reachable_binaries(home)
    data = home / "data"
    if not data.exists():
        _initialise(bindir, data)
    options = (
        f"-c listen_addresses= -c unix_socket_directories={shlex.quote(str(sockets))}"
    )
    log = data / "server.log"
    # Without -l and an empty stdin the server would hold the caller's pipe.
    start: list[str | Path] = [
        *(bindir / "pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)
    ]
    deadline = time.monotonic() + 15
    while True:
        _clear_dead(data, sockets)
        started = run(start)
        if started.returncode == 0:
            return
        # After kill -9 the children of the old server need a moment to end.
        if time.monotonic() > deadline or "still in use" not in _tail(log):
            raise FinetuneError(
                f"the embedded PostgreSQL does not start: {_tail(log)}; see {log}"
            )
        time.sleep(0.2)


def _initialise(bindir: Path, data: Path) -> None:
    """Make the data folder, complete or not at all."""
    unfinished = data.with_name("data.new")
    if unfinished.is_symlink():
        unfinished.unlink()
    shutil.rmtree(unfinished, ignore_errors=True)
    _give(unfinished)
    version = run([bindir / "initdb", "--version"]).stdout
    major = int((re.findall(r"\d+", version) or ["0"])[0])
    if major >= 18:
        locale = ["--locale-provider=builtin", "--builtin-locale=PG_UNICODE_FAST"]
    elif major == 17:
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        locale = []
    character_type = "C" if major >= 17 else "C.UTF-8"
    made = run(
        [
            *(bindir / "initdb", "-D", unfinished, "-U", _ROLE, "-A", "trust"),
            *("-E", "UTF8", "--no-sync", "--lc-collate=C"),
            *(f"--lc-ctype={character_type}", *locale),
        ]
    )
    if made.returncode != 0:
        reason = " ".join(made.stderr.split())
        if "could not look up effective user ID" in reason:
            reason = f"user {os.geteuid()} has no entry in the passwd file; add one"
        raise FinetuneError(f"the embedded PostgreSQL cannot be set up: {reason}")
    unfinished.rename(data)


def _clear_dead(data: Path, sockets: Path) -> None:
    """Remove the pid files of a server that is dead.

    PostgreSQL leaves them in place where the pid still exists: as a zombie that
    nobody waits for, or as another program after a restart of the machine.
    """
    for path in (data / "postmaster.pid", sockets / f".s.PGSQL.{_PORT}.lock"):
        try:
            pid = path.read_text().split()[0]
            stat = Path("/proc", pid, "stat").read_text()
        except (OSError, IndexError):
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        if name != "postgres" or rest.split()[0] == "Z":
            path.unlink(missing_ok=True)


def _stop(home: Path) -> bool:
    if not _answers((home / "socket").resolve()):
        return False
    stopped = run(
        [
            *(reachable_binaries(home) / "pg_ctl", "stop", "-w"),
            *("-m", "fast", "-D", home / "data"),
        ]
    )
    if stopped.returncode != 0:
        raise FinetuneError(
            f"the embedded PostgreSQL does not stop: {' '.join(stopped.stderr.split())}"
        )
    return True


def _tail(log: Path) -> str:
    """Return the last message of the server's log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    marked = [line for line in lines[-20:] if "FATAL" in line or "HINT" in line]
    return " ".join(marked[-2:] or lines[-1:])
