"""`finetune recipe`: how to hand the last export to a trainer or provider."""

from pathlib import Path

import click

from exporter import manifest, tokens
from exporter.checking.files import check_file
from exporter.checking.rules import read_rules
from exporter.cli.console import EXIT_CODES, OUTPUT_DIR, say
from exporter.errors import FinetuneError
from exporter.recipes import RECIPES, Export, room_above


@click.command(epilog=EXIT_CODES)
@click.argument("reader", type=click.Choice([*RECIPES]))
@OUTPUT_DIR
def recipe(reader: str, output_dir: Path) -> None:
    """Print the shortest correct configuration or command for READER.

    It fits the last export: its files, its examples and the tokens of the
    longest, as the manifest tells them (finetune export --count-tokens) or as
    they are counted now.
    """
    document = manifest.read(output_dir)
    train, valid = output_dir / "train.jsonl", output_dir / "valid.jsonl"
    chats = [path for path in (train, valid) if path.name in document.files]
    try:
        splits = document.splits
        examples = splits["train"]["pairs"]
        if "tokens" in splits["train"]:
            longest = max(facts["tokens"]["longest"] for facts in splits.values())
        else:
            longest = _longest(chats)
    except (KeyError, TypeError) as error:
        raise FinetuneError(
            f"{output_dir}/manifest.json: tells nothing of {error}; run finetune export"
        ) from error
    export = Export(
        train=train,
        valid=valid if valid in chats else None,
        examples=examples,
        longest=longest,
        max_tokens=room_above(longest),
    )
    click.echo(RECIPES[reader](export), nl=False)


def _longest(paths: list[Path]) -> int:
    counter = tokens.counter("o200k_base")
    if counter.caveat:
        say(f"{counter.caveat}; counting bytes, an upper bound")
    tally = tokens.Tally(counter)
    for path in paths:
        check_file(path, read_rules(), lambda _: None, tally.add)
    return max(tally.counts, default=0)
