"""`finetune recipe`: print how to hand the last export to a trainer or provider."""

import shlex
from pathlib import Path

import click

from exporter import manifest, tokens
from exporter.cli.console import EXIT_CODES, FILE, OUTPUT_DIR, TEXT, option, say, today
from exporter.errors import FinetuneError
from exporter.readers import read_readers, recipes

_RECIPES = {name: reader for name, reader in read_readers().items() if reader.recipe}


@click.command(epilog=EXIT_CODES)
@click.argument("reader", type=click.Choice([*_RECIPES]), metavar="READER")
@OUTPUT_DIR
@option(
    "--tokenizer FILE",
    "Count with the model's tokenizer.json.  [default: count bytes]",
    FILE,
)
@option(
    "--model NAME",
    f"Model to train; a trainer's is {recipes.MODEL} by default.",
    TEXT,
)
@option(
    "--context TOKENS", "Longest example that --model takes.", click.IntRange(min=1)
)
def recipe(
    reader: str,
    output_dir: Path,
    tokenizer: Path | None,
    model: str | None,
    context: int | None,
) -> None:
    """Print the shortest correct configuration or command for READER.

    The recipe fits the last export: its files, its number of examples and the
    length of the longest, in bytes or in the model's own tokens. finetune readers
    lists the READERs.
    """
    chosen = _RECIPES[reader]
    export = manifest.read(output_dir)
    for note in chosen.date_warnings(today(), model):
        say(f"warning: {note}")
    examples = {
        name: export.files[name].lines if name in export.files else 0
        for name in (manifest.TRAINING, manifest.VALIDATION)
    }
    if not examples[manifest.TRAINING]:
        raise FinetuneError(f"{output_dir}: no train.jsonl; run finetune export")
    lengths = None
    if "lengths" in chosen.recipe:
        counter = tokens.from_file(tokenizer) if tokenizer else tokens.BYTES
        paths = [output_dir / name for name, lines in examples.items() if lines]
        if model is None and chosen.kind == "trainer":
            context = context or recipes.CONTEXT
        lengths = recipes.measure_lengths(paths, counter, context, export.dialect)
        if lengths.over:
            say(f"warning: {lengths.sentence()}")
    folder = output_dir
    if chosen.dialect != export.dialect:
        folder = folder.with_name(f"{folder.name}-{chosen.dialect}")
    text = recipes.render(
        chosen,
        folder,
        examples=examples[manifest.TRAINING],
        valid_examples=examples[manifest.VALIDATION],
        model=model,
        lengths=lengths,
    )
    if folder != output_dir:
        command = _export_command(export, folder, chosen.dialect)
        say(
            f"warning: {chosen.title} reads --dialect {chosen.dialect}, but "
            f"{output_dir} is in {export.dialect}; first run {command}"
        )
        if chosen.dialect == "messages":
            # The recipe may be a script or a configuration, so this is a comment.
            command = "# First: " + command.replace("\n", "\n# ")
        text = f"{command}\n{text}"
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def _export_command(export: manifest.Manifest, folder: Path, dialect: str) -> str:
    """Return the command that writes the export again in another dialect.

    It has the system prompt of the export, which may come from the command line.
    """
    facts = export.document
    data_set, prompt = facts.get("data_set", {}), facts.get("system_prompt")
    no_system = "system_prompt" in facts and not data_set.get("system")
    words = [
        *("finetune", "export", data_set.get("name")),
        *(("--target", "spark") if facts.get("engine") == "spark" else ()),
        *(("--system-prompt", prompt) if prompt else ("--no-system",) * no_system),
        *("--dialect", dialect, "-o", str(folder)),
    ]
    return shlex.join(filter(None, words))
