"""A copy of the dbt project with a database of its own, and commands in it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

REPOSITORY = Path(__file__).parents[1]
SHARED_DATA = (
    Path(os.environ.get("FINETUNE_SHARED_DIR") or REPOSITORY.parent / "shared") / "data"
)
DBT = Path(sys.executable).with_name("dbt")
PAIRS = "finetune.int_finetune__pairs_deduplicated"

# The browser and the npm packages that check the report.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
NPM = Path(sys.prefix) / "npm" / "node_modules"


def clean_environment() -> dict[str, str]:
    """Return the environment without variables that affect our programs."""
    steering = ("PG", "DBT_", "OPENAI_", "SPARK_")
    return {k: v for k, v in os.environ.items() if not k.startswith(steering)}


def edit(path: Path, old: str, new: str) -> None:
    """Replace a text that must be in the file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def json_lines(path: Path) -> list[Any]:
    """Return the values of a JSON Lines file, split at LF alone."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


# The command, which at the end prints its peak memory in kilobytes. VmHWM counts only
# this program; ru_maxrss may also count the program that forked it.
MEASURED = """
import atexit, re, resource, sys
from pathlib import Path
from exporter.cli import main

def peak():
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

atexit.register(lambda: print(peak(), file=sys.stderr))
main()
"""


@cache
def warm_dbt() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.warm_dbt"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@dataclass
class Workspace:
    """A copy of the dbt project, with a database of its own."""

    folder: Path
    environment: dict[str, str]
    project: Path = field(init=False)

    def __post_init__(self) -> None:
        self.project = self.folder / "dbt_project"

    def run(
        self,
        command: Sequence[str | Path],
        *,
        text: str = "",
        limits: Callable[[], None] | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=self.environment | variables,
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=limits,  # The tests have one thread.
        )

    def finetune(
        self,
        *arguments: str | Path,
        text: str = "",
        limits: Callable[[], None] | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "exporter", *arguments]
        return self.run(command, text=text, limits=limits, **variables)

    def dbt(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run dbt in a fork of a process that has imported it, to save time."""
        out, err = self.folder / ".dbt-out", self.folder / ".dbt-err"
        command = ["--no-use-colors", *map(str, arguments)]
        command += ["--project-dir", "dbt_project"]
        request = {
            "arguments": command,
            "environment": self.environment,
            "folder": str(self.folder),
            "stdout": str(out),
            "stderr": str(err),
        }
        warm = warm_dbt()
        assert warm.stdin
        assert warm.stdout
        warm.stdin.write(json.dumps(request) + "\n")
        warm.stdin.flush()
        code = int(warm.stdout.readline())
        texts = [path.read_text() for path in (out, err)]
        out.unlink()
        err.unlink()
        return subprocess.CompletedProcess(command, code, *texts)

    def build(self, *arguments: str, unit_tests: bool = False) -> None:
        """Build and test; unit tests, half of the time, only if asked for."""
        skipped = [] if unit_tests else ["--exclude-resource-type", "unit_test"]
        built = self.dbt("build", *arguments, *skipped)
        assert built.returncode == 0, built.stdout

    def export(self, *arguments: str | Path) -> Path:
        done = self.finetune("export", *arguments)
        assert done.returncode == 0, done.stderr
        return self.folder / "files"

    def connect(self) -> psycopg.Connection:
        names = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user"}
        names |= {"PGPASSWORD": "password", "PGDATABASE": "dbname"}
        parameters = {v: self.environment.get(k) for k, v in names.items()}
        return psycopg.connect(autocommit=True, **parameters)  # type: ignore[arg-type]

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def insert(self, rows: Sequence[Sequence[object]], table: str = "product") -> None:
        with self.connect() as connection:
            connection.execute(
                sql.SQL(
                    "create table if not exists {} (uid text, title text, content text)"
                ).format(sql.Identifier(table))
            )
            with connection.cursor().copy(
                sql.SQL("copy {} from stdin").format(sql.Identifier(table))
            ) as copy:
                for row in rows:
                    copy.write_row(row)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(
        dir="/var/tmp", ignore_cleanup_errors=True
    ) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def project_in(folder: Path, variables: dict[str, str]) -> Workspace:
    """Copy the dbt project into the folder, for commands with these variables."""
    shutil.copytree(
        REPOSITORY / "dbt_project",
        folder / "dbt_project",
        ignore=shutil.ignore_patterns("target", "logs"),
    )
    shutil.copy(REPOSITORY / "profiles.yml.example", folder / "profiles.yml")
    return Workspace(folder, clean_environment() | variables)


MakeWorkspace = Callable[..., Workspace]
