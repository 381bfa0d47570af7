"""The data folder of the embedded server: create it, and clean up after a crash."""

import os
import re
import shutil
from pathlib import Path

from exporter.engines.home import PORT, make_private
from exporter.engines.programs import run
from exporter.errors import FinetuneError

ROLE = "app"

# Remedies of a failed program, by a part of its reason.
_REMEDIES = {
    "No space left on device": "make room and run it again",
    "not compatible with this version": "set PG_BINDIR to the programs of that "
    "version, or remove .postgres and load the rows again",
    "not a database cluster directory": "remove .postgres and load the rows again",
}


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
        reason = reason_of(done.stderr)
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


def read_log(log: Path) -> str:
    """Return the server's log, empty if there is none."""
    try:
        return log.read_text(errors="replace")
    except OSError:
        return ""


def reason_of(output: str) -> str:
    """Return why a program of PostgreSQL failed, on one line, and what fixes it."""
    # Each line of a log begins with the time and the process.
    found = re.findall(r"(?:FATAL|DETAIL|HINT|error): +(.*)", output)
    reason = " ".join(found or output.split()).rstrip(".")
    for part, remedy in _REMEDIES.items():
        if part in reason:
            reason = f"{reason}; {remedy}"
    return reason
