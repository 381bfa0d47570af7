"""A Spark Connect server for the whole run, and projects on it."""

import sys
import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests import oracle
from tests.rows import SAMPLE, read
from tests.spark.sail import sail, session_of
from tests.workspace import Workspace, project_in

MakeOnSpark = Callable[[Sequence[oracle.Row]], Workspace]


@pytest.fixture(scope="session", autouse=True)
def _main_module_with_a_file() -> Iterator[None]:
    """Give xdist's workers a file: without one, pyspark assumes doctests and exits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["__main__"], "__file__", __file__, raising=False)
        yield


@pytest.fixture(scope="session")
def server_of_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # With more threads, Sail 0.7 shuffles the batches of a sorted result.
    with sail(1, tmp_path_factory.mktemp("sail") / "log") as (address, _):
        yield address


@pytest.fixture(scope="session")
def make_on_spark(
    server_of_spark: str, tmp_path_factory: pytest.TempPathFactory
) -> MakeOnSpark:
    """Return a function that makes a project with a session that has the rows."""

    def make(rows: Sequence[oracle.Row]) -> Workspace:
        # Sail's catalog exists only in its session, so all use the same.
        remote = f"{server_of_spark}/;session_id={uuid.uuid4()}"
        with session_of(remote) as session:
            session.sql("create schema public")
            columns = "uid string, title string, content string"
            session.createDataFrame(rows, columns).write.saveAsTable("public.product")
        variables = {"SPARK_REMOTE": remote, "DBT_TARGET": "spark"}
        return project_in(tmp_path_factory.mktemp("spark"), variables)

    return make


@pytest.fixture(scope="session")
def built_on_spark(make_on_spark: MakeOnSpark) -> Workspace:
    """Return a project built from the sample; tests do not change it."""
    workspace = make_on_spark(read(SAMPLE))
    workspace.build(unit_tests=True)
    return workspace
