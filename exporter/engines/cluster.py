"""The data folder of the embedded server: create it, and clean up after a crash."""

import os
import re
import shutil
from pathlib import Path

from exporter.engines.home import PORT, make_private
from exporter.engines.programs import run
from exporter.errors import FinetuneError

ROLE = "app"


def initialize(bindir: Path, data: Path) -> None:
    """Create the data folder, complete or not at all."""
    unfinished = data.with_name("data.new")
    if unfinished.is_symlink():
        unfinished.unlink()
    shutil.rmtree(unfinished, ignore_errors=True)
    make_private(unfinished)
    version = run(bindir / "initdb", "--version").stdout
    major = int((re.findall(r"\d+", version) or ["0"])[0])
    locale = ["--lc-collate=C", "--lc-ctype=C.UTF-8"]
    if major >= 17:
        builtin = "PG_UNICODE_FAST" if major >= 18 else "C.UTF-8"
        locale = ["--lc-collate=C", "--lc-ctype=C", f"--builtin-locale={builtin}"]
        locale.append("--locale-provider=builtin")
    done = run(
        *(bindir / "initdb", "-D", unfinished, "-U", ROLE, "-A", "trust"),
        *("-E", "UTF8", "--no-sync", *locale),
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split())
        if "could not look up effective user ID" in reason:
            reason = f"user {os.geteuid()} has no entry in the passwd file; add one"
        raise FinetuneError(f"the embedded PostgreSQL cannot be set up: {reason}")
    unfinished.rename(data)


def remove_stale_pid_files(data: Path, sockets: Path) -> None:
    """Remove the pid files of a server that no longer runs.

    PostgreSQL keeps them if a process has the pid: a zombie of the server, or another
    program after a restart of the machine.
    """
    for path in (data / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock"):
        if is_stale(path):
            path.unlink(missing_ok=True)


def is_stale(pid_file: Path) -> bool | None:
    """Return whether the server of a pid file has ended; None if /proc has no pid."""
    try:
        pid = pid_file.read_text().split()[0]
        stat = Path("/proc", pid, "stat").read_text()
    except (OSError, IndexError):
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    return name != "postgres" or rest.split()[0] == "Z"


def last_log_message(log: Path) -> str:
    """Return the last message of the server's log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "no log"
    marked = [line for line in lines[-20:] if "FATAL" in line or "HINT" in line]
    return " ".join(marked[-2:] or lines[-1:])
