"""The command line as such: it lists its commands and waits for none of them."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from exporter.cli import COMMANDS
from tests.conftest import REPOSITORY

CHAT = (
    '{"messages":[{"role":"user","content":"Okular"},'
    '{"role":"assistant","content":"It shows documents."}]}\n'
)


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_list_of_commands_says_of_each_what_its_help_begins_with(
    name: str, text: str
) -> None:
    command = getattr(import_module(f"exporter.cli.{name}"), name)
    assert command.name == name
    assert command.get_short_help_str(limit=200) == text


@pytest.mark.parametrize("arguments", [["--help"], ["check", "chat.jsonl"]])
def test_what_needs_no_server_imports_nothing_that_talks_to_one(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "chat.jsonl").write_text(CHAT * 10)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "exporter", *arguments],
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "click" in imported
    assert not imported & {"dbt", "openai", "psycopg", "pyspark"}
