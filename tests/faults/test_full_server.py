"""The disk of the server is full: no room for rows, for sorting, for its log."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.engines import embedded
from tests.faults.conftest import Results
from tests.faults.disks import filled, mounts, small_disk
from tests.faults.running import Ended, Runner
from tests.faults.subjects import OLD, Export, Load, Subject
from tests.faults.sweep import verdict
from tests.workspace import REPOSITORY, MakeWorkspace, Workspace, open_folder

NO_ROOM = "No space left on device"
REMEDY = "; make room on the server and run the command again\n"

# The current file of the log, whether a next one exists, and the bytes that are left in
# the current one.
LOG = """
select
    pg_walfile_name(place),
    (
        select max(name) > pg_walfile_name(place)
        from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'
    ),
    (16 << 20) - (pg_walfile_name_offset(place)).file_offset
from pg_current_wal_insert_lsn() as place
"""


class Build(Export):
    """A build and its export, which replaces older files."""

    name = "build"
    arguments = ("export", "--build", *Export.arguments[1:])


class Disk:
    """A server on a small disk, and the commands that use it."""

    def __init__(self, folder: Path, make: MakeWorkspace, runner: Runner) -> None:
        self._folder, self._log = folder, folder / "data/server.log"
        variables = embedded.start(folder)
        built = make(variables)
        sample = REPOSITORY / "examples/products.csv"
        assert built.finetune("load", sample).returncode == 0
        # More than a small work_mem.
        built.sql(
            "insert into product select 'more-' || n, 'lamp ' || n % 20,"
            " repeat(md5(n::text), 20) from generate_series(1, 4000) n"
        )
        built.build()
        self.subjects: dict[str, Subject] = {
            "export": Export(built, runner),
            "build": Build(built, runner),
            "load": Load(make(variables), runner),
        }

    def panics(self) -> int:
        """Return how often the server ended because of its log."""
        return self._log.read_text().count("PANIC:")

    def run(self, subject: Subject, free: int) -> Ended:
        """Run a command with `free` kilobytes on the server's disk."""
        with filled(self._folder, free=free):
            ended = subject.run(variables={"PGOPTIONS": "-c work_mem=64kB"})
        embedded.start(self._folder)  # It ends if its log has no room.
        return ended


@pytest.fixture(scope="module")
def disk(make_workspace: MakeWorkspace, runner: Runner) -> Iterator[Disk]:
    with open_folder() as folder:
        home = folder / "s"
        home.mkdir()
        with small_disk(home, 400 << 10):
            try:
                yield Disk(home, make_workspace, runner)
            finally:
                embedded.stop(home)


def assert_undamaged(workspace: Workspace) -> None:
    """Run the server's own check of its tables and indexes."""
    check = embedded.psql().with_name("pg_amcheck")
    done = workspace.run([check, "--install-missing"])
    assert done.returncode == 0, done.stdout


def write_log_to_its_end(workspace: Workspace) -> None:
    """Fill the current log file, so that the next kilobytes need a new one."""
    left, followed = 1 << 20, True
    with workspace.connect() as connection:
        while followed or left > 12_000:
            row = connection.execute(LOG).fetchone()
            assert row
            _, followed, left = row
            size = left - 150_000 if left > 200_000 else 3000
            connection.execute(
                "select pg_logical_emit_message(true, 'x', repeat('x', %s))", [size]
            )


@pytest.mark.faults
@mounts
@pytest.mark.parametrize(
    ("name", "free"),
    # In kilobytes. With none there is no room for the first page of a table.
    [
        *[("load", free) for free in (0, 16, 64, 1024)],
        *[("export", free) for free in (0, 16, 64, 1024)],
        *[("build", free) for free in (0, 1024)],
    ],
)
def test_a_full_server_keeps_its_rows(
    disk: Disk, results: Results, name: str, free: int
) -> None:
    subject = disk.subjects[name]
    subject.prepare()
    ended = disk.run(subject, free)
    assert_undamaged(subject.workspace)
    state, wrong = verdict(subject, ended, "disk full", "")
    assert not wrong
    results.add("server's disk full", subject, state)
    if free < 1024 or name == "build":
        assert (ended.code, state) == (1, OLD)
        last = ended.stderr.splitlines(keepends=True)[-1]
        if name == "build":
            assert NO_ROOM in ended.stderr + ended.stdout
            assert last.startswith("finetune: the build failed, as dbt says above")
        else:
            assert NO_ROOM in last
            assert last.endswith(REMEDY)


@pytest.mark.faults
@mounts
@pytest.mark.parametrize("name", ["load", "build"])
def test_a_server_without_room_for_its_log_keeps_its_rows(
    disk: Disk, results: Results, name: str
) -> None:
    subject = disk.subjects[name]
    subject.prepare()
    write_log_to_its_end(subject.workspace)
    before = disk.panics()
    ended = disk.run(subject, 8 << 10)
    assert disk.panics() > before
    assert_undamaged(subject.workspace)
    state, wrong = verdict(subject, ended, "disk full", "")
    assert not wrong
    assert (ended.code, state) == (1, OLD)
    results.add("server's log full", subject, state)
