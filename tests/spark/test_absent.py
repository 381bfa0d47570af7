"""Spark: an absent, silent or dead server ends an export in time, with one line."""

import os
import signal
import socket
import sys
import time
import uuid
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from exporter.engines import idle_timeout, spark
from exporter.engines.relations import Relation
from exporter.errors import FinetuneError
from tests.spark.sail import sail, session_of
from tests.workspace import REPOSITORY, Workspace


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_server_that_stops_or_dies_ends_a_query_in_time(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_timeout, "SECONDS", 2.0)
    relation = Relation(None, "default", "one")
    with sail(1, tmp_path / "log") as (server, process):
        remote = f"{server}/;session_id={uuid.uuid4()}"
        monkeypatch.setenv("SPARK_REMOTE", remote)
        with session_of(remote) as session:
            session.sql("create view one as select 'a' as pair_id")
        with spark.open_snapshot(relation, []) as snapshot:
            process.send_signal(number)
            began = time.monotonic()
            with pytest.raises(FinetuneError, match=r"^Spark Connect: no answer for 2"):
                snapshot.query("select 1")
        took = time.monotonic() - began
        process.send_signal(signal.SIGCONT)
    assert took < 15


def test_a_port_that_does_not_answer_ends_the_connection_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(idle_timeout, "SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"sc://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("SPARK_REMOTE", address)
        spark.require_server()
        with (
            pytest.raises(FinetuneError, match=r"^Spark Connect: no answer for 1 "),
            spark.open_snapshot(Relation(None, "default", "one"), []),
        ):
            pass


def test_the_timeout_begins_after_the_last_answer(
    server_of_spark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_REMOTE", f"{server_of_spark}/;session_id={uuid.uuid4()}")
    monkeypatch.setattr(idle_timeout, "SECONDS", 1.0)
    with session_of(os.environ["SPARK_REMOTE"]) as session:
        session.sql("create view one as select 'a' as pair_id")
        with spark.open_snapshot(Relation(None, "default", "one"), []) as snapshot:
            for _ in range(3):
                time.sleep(0.6)
                assert snapshot.query("select 1 as n") == [{"n": 1}]


def refusal(workspace: Workspace, *arguments: str, **variables: str) -> str:
    """Return the one line of an export that is refused."""
    done = workspace.finetune("export", *arguments, limits=None, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("finetune: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_target_must_be_the_engine_of_the_build(
    built_on_spark: Workspace, sample: Workspace
) -> None:
    line = refusal(built_on_spark)
    assert "dbt built on spark, but --target is postgres; give --target spark" in line
    line = refusal(sample, "--target", "spark")
    assert "dbt built on postgres, but --target is spark" in line


@pytest.mark.parametrize(
    ("remote", "message"),
    [
        ("sc://127.0.0.1:1", "127.0.0.1:1: Connection refused; start a server there"),
        ("sc://nowhere.invalid", "nowhere.invalid:15002: "),
        ("local[2]", "SPARK_REMOTE is not an address such as sc://HOST:PORT"),
    ],
)
def test_without_a_server_the_error_is_one_line(
    remote: str, message: str, built_on_spark: Workspace
) -> None:
    line = refusal(built_on_spark, "--target", "spark", SPARK_REMOTE=remote)
    assert message in line


def test_the_default_address_is_the_local_port_of_spark_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SPARK_REMOTE", raising=False)
    address = ("127.0.0.1", 15002)
    profile = (REPOSITORY / "profiles.yml.example").read_text()
    assert f"env_var('SPARK_REMOTE', 'sc://{address[0]}:{address[1]}')" in profile
    with ExitStack() as stack:
        with suppress(OSError):  # A Spark server uses the port already.
            stack.enter_context(socket.create_server(address))
        spark.require_server()


def test_a_missing_relation_is_an_error_of_one_line(
    built_on_spark: Workspace, server_of_spark: str
) -> None:
    line = refusal(built_on_spark, "--target", "spark", SPARK_REMOTE=server_of_spark)
    assert "finetune: Spark: " in line
    assert line.endswith("; run dbt build --project-dir dbt_project --target spark\n")


def without(module: str, program: str) -> list[str]:
    """Return a command that runs a program without a module."""
    code = f"import sys; sys.modules[{module!r}] = None; {program}"
    return [sys.executable, "-c", code]


def test_without_the_extra_the_error_names_what_to_install(
    built_on_spark: Workspace,
) -> None:
    program = "from exporter.cli import main; main()"
    done = built_on_spark.run(
        [*without("pyspark", program), "export", "--target", "spark"]
    )
    assert done.returncode == 1
    assert done.stderr.endswith("; pip install 'finetune-exporter[spark]'\n")
    assert done.stderr.count("\n") == 1


def test_without_the_extra_postgresql_is_not_affected(workspace: Workspace) -> None:
    program = "from dbt.cli.main import cli; cli(sys.argv[1:])"
    arguments = ["--warn-error", "parse", "--project-dir", "dbt_project"]
    parsed = workspace.run([*without("dbt.adapters.spark", program), *arguments])
    assert parsed.returncode == 0, parsed.stdout
    program = "import exporter.cli; assert not {'pyspark', 'grpc'} & {*sys.modules}"
    assert workspace.run([sys.executable, "-c", f"import sys; {program}"]).stderr == ""
