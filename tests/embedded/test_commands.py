"""`finetune local`: its commands and messages, with a server and without."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.engines import embedded
from tests.embedded.conftest import finetune, home, is_running, query
from tests.workspace import DBT, REPOSITORY, clean_environment


def test_the_command_gets_the_variables_and_its_exit_code_is_returned(
    folder: Path,
) -> None:
    script = "echo $PGHOST:$PGPORT:$PGUSER:$PGDATABASE; exit 7"
    code, out, _ = finetune(folder, "local", "run", "--", "sh", "-c", script)
    assert (code, out) == (7, f"{home(folder)}/socket:5432:app:postgres")


def test_the_command_reads_the_files_that_a_shell_opens_for_it(folder: Path) -> None:
    script = '"$0" -m exporter local psql -XAtf <(echo select 1)'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable],
        check=False,
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_a_missing_command_is_an_error_of_one_line(folder: Path) -> None:
    code, _, error = finetune(folder, "local", "run", "--", "no-such-command")
    assert (code, error) == (1, "finetune: no-such-command: No such file or directory")


def test_without_postgresql_the_error_names_what_to_install(folder: Path) -> None:
    code = (
        "import importlib.util, shutil, pathlib; importlib.util.find_spec = lambda n:"
        " None; shutil.which = lambda n: None; pathlib.Path.glob = lambda s, p: [];"
        "from exporter.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "local", "run", "true"],
        check=False,
        cwd=folder,
        env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "pip install 'finetune-exporter[local]'" in done.stderr


@pytest.mark.parametrize("name", ["PGHOST", "PGSERVICE", "PGPORT", "PGUSER"])
def test_any_variable_of_libpq_switches_it_off(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for variable in embedded.CONNECTION_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    assert not embedded.connection_is_set()
    monkeypatch.setenv(name, "5432")
    assert embedded.connection_is_set()


def test_seeding_loads_once_and_only_where_there_is_no_table(folder: Path) -> None:
    sample: Sequence[str | Path] = (
        "local",
        "seed",
        REPOSITORY / "examples" / "products.csv",
    )
    assert finetune(folder, *sample)[2] == "363 rows loaded into public.product"
    assert finetune(folder, *sample) == (0, "", "")
    query(folder, "delete from product")
    assert finetune(folder, *sample) == (0, "", "")
    assert query(folder, "select count(*) from product") == (0, "0", "")


def test_a_table_of_the_user_is_never_seeded(folder: Path) -> None:
    project = folder / "dbt_project/dbt_project.yml"
    shipped = project.read_text()
    for old, new in (
        ("raw_table: product", "raw_table: answers"),
        ("raw_schema: public", "raw_schema: support"),
        ("content_column: content", "content_column: answer"),
    ):
        project.write_text(shipped.replace(old, new))
        sample = REPOSITORY / "examples/products.csv"
        code, _, error = finetune(folder, "local", "seed", sample)
        assert code == 1
        assert error.endswith("or create it with finetune load FILE")


def test_dbt_finds_a_started_server_without_any_variable(folder: Path) -> None:
    shutil.copy(REPOSITORY / "profiles.yml.example", folder / "profiles.yml")
    finetune(folder, "local", "seed", REPOSITORY / "examples/products.csv")
    assert finetune(folder, "local", "start")[0] == 0
    # Other commands and a second start do not stop it.
    assert query(folder, "select 1") == (0, "1", "")
    assert finetune(folder, "local", "start")[0] == 0
    project = folder / "dbt_project"
    select = ("--select", "stg_finetune__products")
    for place, *options in (
        (folder, "build", "--project-dir", "dbt_project"),
        (project, "test", "--profiles-dir", ".."),
    ):
        done = subprocess.run(
            [DBT, *options, *select],
            check=False,
            cwd=place,
            # A program that starts dbt does not change PWD.
            env=clean_environment() | {"PWD": "/"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout
    assert is_running(folder)
    assert finetune(folder, "local", "stop") == (0, "", "stopped")
    assert not is_running(folder)
    assert query(folder, "select 1") == (0, "1", "")
    assert not is_running(folder)


def test_start_names_the_variables_to_unset(folder: Path) -> None:
    code, _, error = finetune(
        folder, "local", "start", PGHOST="db.example.com", PGDATABASE="shop"
    )
    assert code == 1
    assert error.endswith("; unset PGHOST PGDATABASE")


def test_start_in_a_folder_with_a_long_name_shows_what_to_export(
    folder: Path,
) -> None:
    deep = folder / ("a long name " * 8).strip()
    deep.mkdir()
    code, _, error = finetune(deep, "local", "start")
    exports = error.rpartition("export ")[2]
    environment = dict(pair.split("=") for pair in exports.split())
    assert code == 0
    host, user = environment["PGHOST"], environment["PGUSER"]
    database = environment["PGDATABASE"]
    answer = query(deep, "select 1", PGHOST=host, PGUSER=user, PGDATABASE=database)
    assert answer == (0, "1", "")
    assert finetune(deep, "local", "stop") == (0, "", "stopped")


@pytest.mark.parametrize("command", ["psql", "run"])
def test_a_server_of_the_user_is_named_before_it_is_used(
    folder: Path, command: str
) -> None:
    arguments = ["-c", "select 1"] if command == "psql" else ["true"]
    _, _, error = finetune(
        folder,
        *("local", command, *arguments),
        PGHOST="/nowhere",
        PGUSER="ann",
        PGPASSWORD="secret",
    )
    assert error.splitlines()[0] == (
        "on your own server: PGHOST=/nowhere PGPORT=5432 PGUSER=ann"
    )
    assert "secret" not in error


def test_a_service_file_becomes_variables_for_programs_without_libpq(
    folder: Path,
) -> None:
    (folder / "services").write_text("[shop]\nhost=/nowhere\ndbname=sales\nuser=ann\n")
    command = ("local", "run", "--", "sh", "-c", "echo $PGHOST $PGDATABASE $PGUSER")
    _, out, _ = finetune(
        folder, *command, PGSERVICE="shop", PGSERVICEFILE=str(folder / "services")
    )
    assert out == "/nowhere sales ann"
