"""The command line lists its commands and imports none of them before it is used."""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from exporter import __version__
from exporter.cli import COMMANDS, cli
from tests.workspace import REPOSITORY, Workspace

CHAT = (
    '{"messages":[{"role":"user","content":"Okular"},'
    '{"role":"assistant","content":"It shows documents."}]}\n'
)


@pytest.mark.parametrize(("name", "text"), COMMANDS.items())
def test_the_list_of_commands_shows_the_first_sentence_of_each_help(
    name: str, text: str
) -> None:
    command = getattr(import_module(f"exporter.cli.{name}"), name)
    assert command.name == name
    assert command.get_short_help_str(limit=200) == text


def commands(
    name: str, command: click.Command, parent: click.Context | None = None
) -> Iterator[tuple[str, click.Context]]:
    context = click.Context(
        command, parent, name, terminal_width=78, **command.context_settings
    )
    yield name, context
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from commands(f"{name} {inner}", found, context)


ALL = dict(commands("finetune", cli))


@pytest.mark.parametrize("name", ALL)
def test_a_help_fits_80_columns_and_cuts_or_breaks_no_word(name: str) -> None:
    lines = ALL[name].get_help().splitlines()
    assert [line for line in lines if len(line) > 80 or line.endswith("-")] == []
    assert [line for line in lines[1:] if re.search(r"\w\.\.\.$", line)] == []
    assert lines[2].strip().endswith("."), "the first sentence takes one line"


@pytest.mark.parametrize("name", ALL)
def test_every_text_is_utf8(name: str) -> None:
    texts = [
        parameter
        for parameter in ALL[name].command.params
        if isinstance(parameter.type, click.types.StringParamType)
        and parameter.callback is None
    ]
    for text in texts:
        assert text.type.convert("Grüße", text, ALL[name]) == "Grüße"
        with pytest.raises(click.BadParameter, match=r"a\\udcff is not UTF-8"):
            text.type.convert("a\udcff", text, ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_every_number_is_finite_and_not_huge(name: str) -> None:
    for number in ALL[name].command.params:
        if isinstance(number.type, click.types.FloatParamType):
            assert number.type.convert(2.5, number, ALL[name]) == 2.5
            for value in (math.nan, math.inf, 1e300):
                with pytest.raises(click.BadParameter):
                    number.type.convert(value, number, ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_its_help(name: str) -> None:
    for option in ALL[name].command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name
            assert option.help.endswith((".", "]")), option.help


def test_the_list_of_commands_is_one_line_each() -> None:
    lines = ALL["finetune"].get_help().splitlines()
    for name, text in COMMANDS.items():
        assert f"  {name:7}  {text}" in lines


def test_version_and_completion_name_finetune(workspace: Workspace) -> None:
    assert workspace.finetune("-V").stdout == f"finetune, version {__version__}\n"
    for shell in ("bash", "zsh", "fish"):
        script = workspace.finetune(_FINETUNE_COMPLETE=f"{shell}_source").stdout
        assert f"_FINETUNE_COMPLETE={shell}_complete" in script
    answer = workspace.finetune(
        _FINETUNE_COMPLETE="bash_complete", COMP_CWORD="1", COMP_WORDS="finetune rea"
    )
    assert answer.stdout == "plain,readers\n"


def test_a_quiet_command_prints_only_errors(
    built_sample: Workspace, tmp_path: Path
) -> None:
    for command in ("export", "check"):
        loud, quiet, wrong = (
            built_sample.finetune(command, *options)
            for options in (
                ["-o", tmp_path],
                ["-q", "-o", tmp_path],
                ["-q", "-o", "profiles.yml/there"],
            )
        )
        assert loud.returncode == quiet.returncode == 0
        assert loud.stderr
        assert (quiet.stdout, quiet.stderr) == (loud.stdout, "")
        assert wrong.returncode == 1
        assert wrong.stderr.startswith("finetune: profiles.yml/there")


@pytest.mark.parametrize("arguments", [["--help"], ["check", "chat.jsonl"]])
def test_a_command_that_needs_no_server_imports_no_client(
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
