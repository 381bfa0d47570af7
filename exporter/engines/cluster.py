"""The files of the embedded server's data: made whole, and cleared after a crash."""

import os
import re
import shutil
from pathlib import Path

from exporter.engines.home import PORT, give
from exporter.engines.programs import run
from exporter.errors import FinetuneError

ROLE = "app"


def initialise(bindir: Path, data: Path) -> None:
    """Make the data folder, complete or not at all."""
    unfinished = data.with_name("data.new")
    if unfinished.is_symlink():
        unfinished.unlink()
    shutil.rmtree(unfinished, ignore_errors=True)
    give(unfinished)
    version = run(bindir / "initdb", "--version").stdout
    major = int((re.findall(r"\d+", version) or ["0"])[0])
    locale = ["--lc-collate=C", "--lc-ctype=C.UTF-8"]
    if major >= 17:
        builtin = "PG_UNICODE_FAST" if major >= 18 else "C.UTF-8"
        locale = ["--lc-collate=C", "--lc-ctype=C", f"--builtin-locale={builtin}"]
        locale.append("--locale-provider=builtin")
    made = run(
        *(bindir / "initdb", "-D", unfinished, "-U", ROLE, "-A", "trust"),
        *("-E", "UTF8", "--no-sync", *locale),
    )
    if made.returncode != 0:
        reason = " ".join(made.stderr.split())
        if "could not look up effective user ID" in reason:
            reason = f"user {os.geteuid()} has no entry in the passwd file; add one"
        raise FinetuneError(f"the embedded PostgreSQL cannot be set up: {reason}")
    unfinished.rename(data)


def clear_dead(data: Path, sockets: Path) -> None:
    """Remove the pid files of a server that is dead.

    PostgreSQL leaves them in place where the pid still exists: as a zombie that
    nobody waits for, or as another program after a restart of the machine.
    """
    for path in (data / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock"):
        if is_dead(path):
            path.unlink(missing_ok=True)


def is_dead(pid_file: Path) -> bool | None:
    """Return whether a pid file's server is dead; None where /proc does not know."""
    try:
        pid = pid_file.read_text().split()[0]
        stat = Path("/proc", pid, "stat").read_text()
    except (OSError, IndexError):
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name != "postgres" or rest.split()[0] == "Z"


def last_message(log: Path) -> str:
    """Return the last message of the server's log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    marked = [line for line in lines[-20:] if "FATAL" in line or "HINT" in line]
    return " ".join(marked[-2:] or lines[-1:])
