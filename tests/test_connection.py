"""The connection: every error and every wait is one line with its remedy."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter.engines import embedded
from exporter.engines.programs import run
from tests.proxy import Proxy, proxy
from tests.workspace import MakeWorkspace, Workspace

pytestmark = pytest.mark.skipif(
    embedded.connection_is_set(), reason="the proxy needs the embedded server"
)

AGAIN = "nothing was changed; see that the server runs, then run the command again"


@pytest.fixture(scope="module")
def big(make_workspace: MakeWorkspace) -> Workspace:
    """Return a built project with 30 MB of text and an older export."""
    workspace = make_workspace()
    workspace.sql(
        "create table product as select i::text as uid, 'lamp ' || i % 100 as title,"
        " (select string_agg(md5(i::text || j::text), ' ') from"
        " generate_series(1, 300) j) as content from generate_series(1, 3000) i"
    )
    workspace.build()
    files = workspace.folder / "files"
    files.mkdir()
    for name in ("clean.jsonl", "train.jsonl", "manifest.json"):
        (files / name).write_text("old\n")
    return workspace


def through(place: Proxy, **variables: str) -> dict[str, Any]:
    return {"PGHOST": "127.0.0.1", "PGPORT": str(place.port), **variables}


def require_old_files(workspace: Workspace) -> None:
    files = (workspace.folder / "files").iterdir()
    contents = sorted((path.name, path.read_text()) for path in files)
    names = ("clean.jsonl", "manifest.json", "train.jsonl")
    assert contents == [(name, "old\n") for name in names]


def connections(workspace: Workspace) -> int:
    [[count]] = workspace.sql(
        "select count(*) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    return int(count)


def wait_until_up(workspace: Workspace) -> None:
    for _ in range(300):
        with suppress(psycopg.OperationalError):
            connections(workspace)
            return
        time.sleep(0.1)


def patience(folder: Path, seconds: int) -> dict[str, Any]:
    """Return variables of a service with this timeout of a silent connection."""
    (folder / "services").write_text(f"[x]\ntcp_user_timeout={seconds * 1000}\n")
    return {"PGSERVICE": "x", "PGSERVICEFILE": str(folder / "services")}


@pytest.mark.parametrize("fault", ["cut", "reset"])
@pytest.mark.parametrize("after", [200, 20_000_000])
def test_a_broken_connection_is_an_error_with_its_remedy(
    big: Workspace, fault: str, after: int
) -> None:
    with proxy(big.environment, fault, after=after) as place:
        done = big.finetune("export", **through(place))
    assert place.struck.is_set()
    assert done.returncode == 1
    assert done.stdout == ""
    said = done.stderr.splitlines()
    shown = ("gate:", "rule", "title_", "description_", "pair_")
    assert [line for line in said if not line.startswith(shown)] == said[-1:]
    if after > 200:
        assert re.fullmatch(
            rf"finetune: PostgreSQL: [^\n]*(server closed the connection|reset by peer|"
            rf"connection is closed|SYSCALL)[^\n]*; {AGAIN}",
            said[-1],
        )
    else:
        assert "check PGHOST" in said[-1]
    require_old_files(big)


def test_a_server_that_never_answers_ends_the_command(big: Workspace) -> None:
    with proxy(big.environment, "mute") as place:
        begun = time.monotonic()
        done = big.finetune("export", **through(place, PGCONNECT_TIMEOUT="2"))
        assert time.monotonic() - begun < 6
    assert done.returncode == 1
    assert done.stderr == (
        "finetune: PostgreSQL: connection timeout expired; check PGHOST and PGPORT, or"
        " wait longer with PGCONNECT_TIMEOUT\n"
    )


def test_a_host_that_does_not_exist_is_named(big: Workspace) -> None:
    done = big.finetune("export", PGHOST="no-such-host.invalid")
    assert done.returncode == 1
    assert "PostgreSQL: failed to resolve host no-such-host.invalid: " in done.stderr
    assert "; check PGHOST, PGPORT, " in done.stderr


@pytest.mark.parametrize("for_all", [True, False])
def test_a_server_that_stops_answering_ends_the_export(
    big: Workspace, for_all: bool
) -> None:
    impatient = patience(big.folder, 3)
    with proxy(big.environment, "stall", after=20_000_000, for_all=for_all) as place:
        begun = time.monotonic()
        done = big.finetune(
            "export", **through(place, PGCONNECT_TIMEOUT="2", **impatient)
        )
        assert time.monotonic() - begun < 15
    assert place.struck.is_set()
    assert done.returncode == 1
    assert re.search(
        rf"\nfinetune: PostgreSQL: no answer for \d+ seconds; {AGAIN}\n$", done.stderr
    )
    require_old_files(big)


def test_a_server_that_stops_answering_ends_the_load(
    workspace: Workspace,
) -> None:
    rows = workspace.folder / "rows.csv"
    with rows.open("w") as file:
        file.write("uid,title,content\n")
        for number in range(3000):
            file.write(f"row-{number},lamp,{'bright ' * 1000}\n")
    impatient = patience(workspace.folder, 3)
    with proxy(
        workspace.environment, "stall", word=b"row-2000", for_all=False
    ) as place:
        done = workspace.finetune("load", "rows.csv", **through(place, **impatient))
    assert place.struck.is_set()
    assert done.returncode == 1
    # To Linux, a peer that receives nothing is one that does not acknowledge.
    assert re.fullmatch(
        r"finetune: PostgreSQL: (no answer for \d+ seconds"
        r"|(sending copy data|consuming input) failed: server closed the connection "
        rf"unexpectedly); {AGAIN}\n",
        done.stderr,
    )
    assert workspace.sql("select to_regclass('product')") == [(None,)]


@pytest.mark.slow
def test_the_export_waits_for_a_slow_query(big: Workspace) -> None:
    name = "finetune.training_pairs"
    [[definition]] = big.sql(f"select rtrim(pg_get_viewdef('{name}'), ';')")
    big.sql(
        f"create or replace view {name} as select pair.* from ({definition}) pair"
        " cross join (select pg_sleep(5)) slow"
    )
    begun = time.monotonic()
    done = big.finetune("export", "--no-gate", "-o", "slow", **patience(big.folder, 2))
    big.sql(f"create or replace view {name} as {definition}")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun > 10


def test_after_a_cut_during_the_commit_the_error_says_that_the_result_is_unknown(
    workspace: Workspace,
) -> None:
    (workspace.folder / "rows.csv").write_text("uid,title,content\n1,lamp,bright\n")
    with proxy(workspace.environment, "cut", word=b"COMMIT") as place:
        done = workspace.finetune("load", "rows.csv", **through(place))
    assert done.returncode == 1
    assert done.stderr.endswith(
        "; the rows may or may not be in the table: check it, or load them again with "
        "--replace\n"
    )
    assert "nothing was changed" not in done.stderr


@contextmanager
def running(
    workspace: Workspace, *arguments: str, **variables: str
) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "exporter", *arguments],
        cwd=workspace.folder,
        env=workspace.environment | variables,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


HELD = re.compile(
    r"waiting for a lock on (\S+) held by app/holder pid \d+"
    r" \(since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)\n"
)


EXPORT = (("export", "-o", "again"), "finetune.int_finetune__pairs_deduplicated")
APPEND = (("load", "rows.csv", "--append"), "public.product")
REPLACE = (("load", "rows.csv", "--replace"), "public.product")


@pytest.mark.parametrize(
    ("command", "how"),
    [
        *((command, signal.SIGTERM) for command in (EXPORT, APPEND, REPLACE)),
        *((command, signal.SIGINT) for command in (EXPORT, REPLACE)),
        *((command, "lock_timeout") for command in (EXPORT, REPLACE)),
        (EXPORT, "it ends"),
    ],
)
def test_the_holder_of_a_lock_is_named_and_the_wait_can_be_stopped(
    big: Workspace, command: tuple[tuple[str, ...], str], how: object
) -> None:
    arguments, relation = command
    (big.folder / "rows.csv").write_text("uid,title,content\n1,lamp,bright\n")
    options = {"PGOPTIONS": "-c lock_timeout=4s"} if how == "lock_timeout" else {}
    with big.connect() as holder:
        holder.execute("set application_name = 'holder'")
        holder.execute("begin")
        holder.execute(f"lock table {relation} in access exclusive mode")
        with running(big, *arguments, **options) as process:
            assert process.stderr
            line = process.stderr.readline()
            found = HELD.fullmatch(line)
            assert found, line
            assert found[1] == relation
            if isinstance(how, signal.Signals):
                process.send_signal(how)
            elif how == "it ends":
                holder.execute("rollback")
            rest = process.communicate(timeout=30)[1]
        if how == "lock_timeout":
            assert process.returncode == 1
            assert rest == (
                "finetune: PostgreSQL: canceling statement due to lock timeout; "
                "nothing was changed; wait longer with PGOPTIONS='-c lock_timeout=0'\n"
            )
        elif how == "it ends":
            assert process.returncode == 0, rest
        else:
            assert process.returncode != 0
            # The server stops waiting too, so that others need not queue behind it.
            assert connections(big) == 1
        holder.execute("rollback")


GOES = (
    "pg_terminate_backend",
    "stop -m fast",
    "stop -m immediate",
    "kill -9 of the backend",
    "kill -9 of the server",
)


@pytest.mark.parametrize(
    ("command", "how"),
    [*(("export", how) for how in GOES), *(("load", how) for how in GOES[:2])],
)
def test_a_server_that_stops_during_a_command_is_an_error_and_changes_nothing(
    big: Workspace, command: str, how: str
) -> None:
    rows = big.folder / "rows.csv"
    line = f"row-{{}},lamp,{'bright ' * 1000}\n"
    rows.write_text("uid,title,content\n" + "".join(map(line.format, range(3000))))
    before = big.sql("select count(*) from product")
    arguments = ["export"] if command == "export" else ["load", rows.name, "--append"]
    home = Path(big.environment["PGHOST"]).parent
    pid = int((home / "data/postmaster.pid").read_text().split()[0])
    with (
        proxy(big.environment, "hold", after=20_000_000, word=b"row-2000") as place,
        running(big, *arguments, **through(place)) as process,
    ):
        assert place.struck.wait(30)
        [[backend]] = big.sql(
            "select pid from pg_stat_activity where application_name = 'finetune'"
        )
        if how.startswith("stop"):
            pg_ctl = embedded.psql().with_name("pg_ctl")
            run(pg_ctl, *how.split(), "-D", home / "data")
        elif how == "pg_terminate_backend":
            big.sql(f"select pg_terminate_backend({backend})")
        else:
            os.kill(pid if how.endswith("server") else backend, signal.SIGKILL)
            time.sleep(0.5)
        place.go.set()
        _, said = process.communicate(timeout=60)
    # Started again if it is down; the other tests need it.
    with embedded.serving(home):
        wait_until_up(big)
        assert process.returncode == 1
        last = said.splitlines()[-1]
        assert last.startswith("finetune: PostgreSQL: ")
        assert last.endswith(f"; {AGAIN}")
        assert "error ignored" not in said
        assert "Traceback" not in said
        assert before == big.sql("select count(*) from product")
        require_old_files(big)
