"""`finetune recipe`: how to hand the last export to a trainer or provider."""

import shlex
from pathlib import Path

import click

from exporter import manifest, tokens
from exporter.cli.console import EXIT_CODES, FILE, OUTPUT_DIR, option, say, today
from exporter.errors import FinetuneError
from exporter.readers import Reader, read_readers, recipes

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
    click.STRING,
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

    It is made for the last export: its files, its number of examples and the
    length of the longest, in bytes or in the model's own tokens. finetune readers
    lists the READERs.
    """
    chosen = _RECIPES[reader]
    export = manifest.read(output_dir)
    for note in chosen.dates(today(), model):
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
        lengths = recipes.measure(paths, counter, context, export.dialect)
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
        text = _export_first(export, output_dir, folder, chosen) + text
    click.echo(text.encode("utf-8", "surrogateescape"), nl=False)


def _export_first(
    export: manifest.Manifest, old: Path, new: Path, reader: Reader
) -> str:
    """Return the command that makes the rows that the reader reads, and say so.

    A script or a configuration has it as a comment. The prompt of the old export
    goes along: it may be one of the command line.
    """
    facts = export.document
    data_set, prompt = facts.get("data_set", {}), facts.get("system_prompt")
    none = "system_prompt" in facts and not data_set.get("system")
    words = [
        *("finetune", "export", data_set.get("name")),
        *(("--target", "spark") if facts.get("engine") == "spark" else ()),
        *(("--system-prompt", prompt) if prompt else ("--no-system",) * none),
        *("--dialect", reader.dialect, "-o", str(new)),
    ]
    command = shlex.join(filter(None, words))
    say(
        f"warning: {reader.title} reads --dialect {reader.dialect}, but {old} is "
        f"{export.dialect}: first {command}"
    )
    if reader.dialect == "messages":
        command = "# First: " + command.replace("\n", "\n# ")
    return f"{command}\n"
