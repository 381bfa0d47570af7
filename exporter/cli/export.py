"""`finetune export`: the tested pairs into files."""

from pathlib import Path

import click

from exporter import artifacts, tokens
from exporter.chat import DEFAULT_SYSTEM_PROMPT
from exporter.cli.console import EXIT_CODES, OUTPUT_DIR, PROJECT_DIR, TARGET, say
from exporter.cli.server import server
from exporter.engines import postgres, spark
from exporter.errors import FinetuneError
from exporter.export import export as run_export


@click.command(epilog=EXIT_CODES)
@OUTPUT_DIR
@click.option("--system-prompt", metavar="TEXT", help="Text of the system message.")
@click.option(
    "--system-prompt-file",
    type=click.Path(path_type=Path),
    help="File with the text of the system message.",
)
@click.option("--no-system", is_flag=True, help="Write no system message.")
@click.option(
    "--no-gate",
    is_flag=True,
    help="Write rows that were not tested; the manifest will say so.",
)
@click.option(
    "--count-tokens",
    is_flag=True,
    help="Tell the tokens of each split in the manifest.",
)
@click.option(
    "--encoding",
    default="o200k_base",
    show_default=True,
    help="tiktoken's encoding, or a model it knows, to count with.",
)
@TARGET
@PROJECT_DIR
@click.option(
    "--target-path",
    type=click.Path(path_type=Path),
    help="dbt's target folder.  [default: target in the project folder]",
)
def export(
    output_dir: Path,
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
    """Test the pairs again and write them, from one snapshot, as chat JSONL.

    Writes clean.jsonl, train.jsonl, valid.jsonl if there is a validation split,
    and manifest.json; prints their paths.
    """
    system = _system_prompt(system_prompt, system_prompt_file, no_system)
    build = artifacts.read_build(project_dir, target_path or project_dir / "target")
    if build.engine != target:
        raise FinetuneError(
            f"dbt built on {build.engine}, but --target is {target}; say --target "
            f"{build.engine}, or run dbt build --target {target}"
        )
    if no_gate:
        say("WARNING: --no-gate: the rows are not tested, and the manifest says so")
    counter = tokens.counter(encoding) if count_tokens else None
    if counter and counter.caveat:
        say(f"{counter.caveat}; counting bytes, an upper bound")
    with server(target):
        written = run_export(
            build,
            snapshot=spark.snapshot if target == "spark" else postgres.snapshot,
            output_dir=output_dir,
            system=system,
            gate=not no_gate,
            say=say,
            counter=counter,
        )
    for path in written:
        click.echo(path)


def _system_prompt(text: str | None, file: Path | None, none: bool) -> str | None:
    if sum([text is not None, file is not None, none]) > 1:
        raise click.UsageError(
            "--system-prompt, --system-prompt-file and --no-system exclude each other"
        )
    if none:
        return None
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise FinetuneError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise FinetuneError(f"{file}: not UTF-8: {error.reason}") from error
    if text is None:
        return DEFAULT_SYSTEM_PROMPT
    if not text.strip():
        raise click.UsageError("the system prompt is empty; for none say --no-system")
    return text
