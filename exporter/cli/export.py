"""`finetune export`: write the tested pairs to files."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import click

from exporter import building, freshness, manifest, tokens
from exporter.artifacts import require_project
from exporter.chat import DIALECTS, Prompt
from exporter.cli.console import (
    ENCODING,
    EXIT_CODES,
    PATH,
    PROJECT_DIR,
    QUIET,
    TARGET,
    TARGET_PATH,
    TEXT,
    option,
    say,
)
from exporter.cli.programs import run_program
from exporter.cli.project import SNAPSHOTS, find_build
from exporter.cli.server import completing_dbt, server
from exporter.cli.stops import StoppedBySignal, report_if_stopped
from exporter.engines.connection import connection_environment
from exporter.errors import FinetuneError
from exporter.export import export as run_export
from exporter.files import require_writable


@click.command(epilog=EXIT_CODES)
@click.argument("name", required=False, type=TEXT)
@option(
    "-o --output-dir DIR",
    "Folder of the files.  [default: files, or files/NAME if the project has several "
    "data sets]",
    PATH,
)
@option(
    "--dialect DIALECT",
    f"Form of the lines: {', '.join(reversed(DIALECTS))}. finetune readers shows "
    "which reader takes which.",
    click.Choice(list(DIALECTS)),
    "messages",
)
@option(
    "--build build_first",
    "Run dbt build first, without the tests that this command runs itself.",
)
@option("--system-prompt TEXT", "Text of the system message.", TEXT)
@option("--system-prompt-file FILE", "File with the text of the system message.", PATH)
@option("--no-system", "Write no system message.")
@option("--no-gate", "Write without testing; the manifest records it.")
@option("--count-tokens", "Record the tokens of each split in the manifest.")
@ENCODING
@TARGET
@PROJECT_DIR
@TARGET_PATH
@QUIET
def export(
    name: str | None,
    output_dir: Path | None,
    dialect: str,
    build_first: bool,
    system_prompt: str | None,
    system_prompt_file: Path | None,
    no_system: bool,
    no_gate: bool,
    count_tokens: bool,
    encoding: str,
    target: str,
    project_dir: Path,
    target_path: Path | None,
) -> None:
    """Test the examples of a data set again and write them as JSONL.

    NAME is the data set, an exposure with the key config.meta.finetune; it can be
    left out if the project has only one. Tests and writes from one snapshot:
    clean.jsonl, train.jsonl, valid.jsonl if there is a validation split, and
    manifest.json. Prints the paths.
    """
    given = _system_prompt(system_prompt, system_prompt_file, no_system)
    with ExitStack() as stack:
        stack.enter_context(completing_dbt(project_dir, target))
        if build_first:
            require_project(project_dir)
            stack.enter_context(server(target))
            report_if_stopped("the build is unfinished, and no file was written")
            _run_dbt(
                building.command(
                    name,
                    project_dir=project_dir,
                    target_path=target_path,
                    target=target,
                    gate=not no_gate,
                )
            )
        build, only = find_build(
            name, project_dir=project_dir, target_path=target_path, target=target
        )
        prompt: Prompt = build.data_set.prompt if given is None else given or None
        if output_dir is None:
            output_dir = Path("files", "" if only else str(name))
            if not only and Path("files", manifest.MANIFEST).exists():
                names = " ".join(f"files/{name}" for name in manifest.NAMES)
                say(
                    "warning: files has an export from before the project had several "
                    f"data sets; remove it: rm -f {names}"
                )
        if no_gate:
            say("WARNING: --no-gate: the rows are not tested; the manifest records it")
        counter = tokens.counter(encoding) if count_tokens else None
        require_writable(output_dir, *manifest.NAMES)
        report_if_stopped(_state_of_files(output_dir / manifest.MANIFEST))
        with server(target):
            written = run_export(
                build if no_gate else freshness.require_fresh(build),
                open_snapshot=SNAPSHOTS[target],
                output_dir=output_dir,
                system=prompt,
                gate=not no_gate,
                dialect=dialect,
                counter=counter,
            )
    for path in written:
        click.echo(path)


def _run_dbt(command: list[str]) -> None:
    """Run dbt; its output goes to standard error, because ours is the paths."""
    environment = os.environ | connection_environment()
    code = run_program(command, environment, sys.stderr)
    if code == building.STOPPED:
        raise StoppedBySignal(signal.SIGINT)
    if code:
        raise FinetuneError("the build failed, as dbt says above; nothing was written")


def _state_of_files(last: Path) -> Callable[[], str]:
    """Return a function that reports whether the file that is renamed last is new."""

    def inode() -> int | None:
        return last.lstat().st_ino if os.path.lexists(last) else None

    before = inode()
    return lambda: (
        f"the files in {last.parent} are "
        f"{'as they were' if inode() == before else 'all new'}"
    )


def _system_prompt(text: str | None, file: Path | None, none: bool) -> str | None:
    """Return the prompt of the options: "" for --no-system, None if none is given."""
    if sum([text is not None, file is not None, none]) > 1:
        raise click.UsageError(
            "--system-prompt, --system-prompt-file and --no-system: give only one"
        )
    if none:
        return ""
    if file is not None:
        try:
            # Read as bytes, because reading text replaces carriage returns.
            text = file.read_bytes().decode("utf-8-sig").strip()
        except OSError as error:
            raise FinetuneError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise FinetuneError(
                f"{file}: not UTF-8: {error.reason}; save it as UTF-8"
            ) from error
    if text is not None and not text.strip():
        raise click.UsageError(
            "the system prompt is empty; give a text, or --no-system"
        )
    return text
