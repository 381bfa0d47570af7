"""A server for the whole run, and a project with a database for each test."""

import os
import signal
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from exporter.engines import embedded
from exporter.readers import read_readers
from tests.workspace import (
    BROWSER,
    NPM,
    REPOSITORY,
    SHARED_DATA,
    MakeWorkspace,
    Workspace,
    open_folder,
    project_in,
    warm_dbt,
)

# A test must not fail because the machine is busy.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_configure() -> None:
    # Programs in the background of a shell ignore SIGINT, and under nohup SIGHUP; the
    # commands under test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_unconfigure() -> None:
    if warm_dbt.cache_info().currsize:
        warm_dbt().communicate()  # It ends at the end of its input.


def pytest_report_header() -> list[str]:
    lines = []
    if not SHARED_DATA.exists():
        lines.append(f"{SHARED_DATA} is absent: only the bundled sample is tested")
    if not BROWSER:
        lines.append("chromium is absent: NO TEST OPENS THE REPORT; install chromium")
    if not NPM.exists():
        lines.append(
            f"{NPM} is absent: NO axe, NO html-validate; install npm, make test"
        )
    if embedded.connection_is_set():
        lines.append("the server that PG* names is tested, not the embedded one")
    return lines


def pytest_sessionstart() -> None:
    # make mutants runs many sessions in forks of one process.
    read_readers.cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "make_workspace" in getattr(item, "fixturenames", ()):
            item.add_marker("database")


@pytest.fixture(scope="session")
def server() -> Iterator[dict[str, str]]:
    """Yield libpq's variables of the server that all tests of a worker share."""
    if embedded.connection_is_set():
        yield {k: v for k, v in os.environ.items() if k.startswith("PG")}
        return
    with open_folder() as folder, embedded.serving(folder / "s") as variables:
        yield variables


@pytest.fixture(scope="session")
def make_workspace(
    server: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> MakeWorkspace:
    """Return a function that makes a project with an empty database."""

    def make(variables: dict[str, str] = server, create_options: str = "") -> Workspace:
        workspace = project_in(tmp_path_factory.mktemp("project"), variables)
        name = f"test_{uuid.uuid4().hex}"
        workspace.sql(f"create database {name} {create_options}")
        workspace.environment["PGDATABASE"] = name
        return workspace

    return make


@pytest.fixture
def workspace(make_workspace: MakeWorkspace) -> Workspace:
    return make_workspace()


@pytest.fixture(scope="session")
def built_sample(make_workspace: MakeWorkspace) -> Workspace:
    """Return a project built from the bundled sample; tests only read it."""
    workspace = make_workspace()
    loaded = workspace.finetune("load", REPOSITORY / "examples" / "products.csv")
    assert loaded.returncode == 0, loaded.stderr
    workspace.build(unit_tests=True)
    return workspace


@pytest.fixture
def sample(built_sample: Workspace, make_workspace: MakeWorkspace) -> Workspace:
    """Return a built copy of the sample that a test may change."""
    old = built_sample.environment["PGDATABASE"]
    copy = make_workspace(create_options=f"template {old}")
    # Both names have the same length, so this also works in msgpack files.
    new = copy.environment["PGDATABASE"]
    for path in (built_sample.project / "target").rglob("*"):
        if path.is_file():
            there = copy.project / path.relative_to(built_sample.project)
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))
    return copy
