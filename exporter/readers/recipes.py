"""Render a recipe: how to hand an export to a reader, from its file's template."""

import glob
import json
import shlex
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import orjson

from exporter import jinja
from exporter.checking.dialects import RowConversation
from exporter.readers import Reader
from exporter.tokens import Counter

# The model that the recipes train by default, and its context in tokens
# (max_position_embeddings of its config.json, 2026-11-25).
MODEL, CONTEXT = "Qwen/Qwen2.5-0.5B-Instruct", 32_768

# The tokens that a chat template adds at most: the control tokens and the role of each
# message, and a default system message (21 tokens in Qwen2.5's, 25 in Llama 3's).
_PER_MESSAGE = 8
_PER_EXAMPLE = 40
# Limits are rounded up to a multiple of this.
_STEP = 256
# At most this many of the rows over the context are named.
_SHOWN = 3


class Lengths(NamedTuple):
    """The lengths of the examples in tokens, and the rows over the model's context.

    `caveat` says why the lengths are an upper bound; it is empty if they are exact.
    """

    longest: int
    max_tokens: int
    over: list[str]
    caveat: str
    context: int | None

    def sentence(self) -> str:
        """Return a sentence for the recipe, which also names rows over the context."""
        count = f"{self.longest:,} tokens"
        if self.caveat:
            count = f"at most {count} ({self.caveat})"
        text = f"The longest example has {count}."
        if self.over and self.context:
            more = f" and {len(self.over) - _SHOWN:,} more" * (len(self.over) > _SHOWN)
            may = "may have" if self.caveat else "have"
            text += (
                f" {', '.join(self.over[:_SHOWN])}{more} {may} more than the "
                f"{self.context:,} tokens of the model's context: shorten or drop them."
            )
        return text


def measure_lengths(
    paths: Iterable[Path], counter: Counter, context: int | None, dialect: str
) -> Lengths:
    """Return the lengths of the examples of files in a dialect.

    Some tokenizers convert texts to Unicode's form NFC, so a text counts as many
    tokens as the longer of its two forms.
    """
    longest, over = 0, []
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                messages = RowConversation(orjson.loads(line), dialect).messages
                tokens = _PER_EXAMPLE + sum(
                    _PER_MESSAGE + _count(message["content"], counter)
                    for message in messages
                )
                longest = max(longest, tokens)
                if context and tokens > context:
                    over.append(f"{path.name} line {number:,} ({tokens:,})")
    room = max(_STEP, -(-longest // _STEP) * _STEP)
    caveat = "" if counter.exact else "its bytes; --tokenizer FILE counts exactly"
    return Lengths(longest, min(room, context or room), over, caveat, context)


def _count(text: str, counter: Counter) -> int:
    count = counter.count(text)
    if not unicodedata.is_normalized("NFC", text):
        count = max(count, counter.count(unicodedata.normalize("NFC", text)))
    return count


def render(
    reader: Reader,
    folder: Path,
    *,
    examples: int,
    valid_examples: int,
    model: str | None = None,
    lengths: Lengths | None = None,
) -> str:
    """Return the recipe of a reader for the export in the folder.

    `lengths` must be given if the template uses them. The template quotes each text
    for its language with a filter: `sh`, `py` or `json` (also for YAML). A line that
    begins with "?" is kept only if there are validation examples. A recipe that no
    test executes begins with a comment that says so.
    """
    environment = jinja.environment()
    environment.filters |= {
        "sh": shlex.quote,
        "py": lambda text: json.dumps(text) if text.isascii() else repr(text),
        "json": lambda text: json.dumps(text, ensure_ascii=False),
        # The inside of a JSON string, itself within single quotes of a shell.
        "inner": lambda text: json.dumps(text)[1:-1].replace("'", r"\u0027"),
        "glob": glob.escape,
        "n": "{:,}".format,
        # The next power of two.
        "power": lambda number: 1 << (number - 1).bit_length(),
        "comment": _comment,
    }
    # Programs would read a name that begins with a dash as an option.
    path = f"./{folder}" if str(folder).startswith("-") else str(folder)
    placeholder = MODEL if reader.kind == "trainer" else "MODEL"
    needs = "a GPU" if reader.kind == "trainer" else "an account"
    proofs = {
        "executed": "",
        "parsed": f"# Not run: it needs {needs}; the client knows the options.\n",
        "": f"# Not run: it needs {needs}.\n",
    }
    lines = reader.recipe.splitlines(keepends=True)
    if not valid_examples:
        lines = [line for line in lines if not line.startswith("?")]
    template = "".join(line.removeprefix("?") for line in lines)
    return proofs[reader.proof] + environment.from_string(template).render(
        folder=path,
        train=f"{path}/train.jsonl",
        valid=f"{path}/valid.jsonl" if valid_examples else "",
        reader=reader,
        examples=examples,
        valid_examples=valid_examples,
        lengths=lengths,
        max_tokens=lengths.max_tokens if lengths else None,
        model=model or placeholder,
        given=model,
    )


def _comment(text: str, indent: int = 0) -> str:
    """Return a text as comment lines, of which all but the first are indented."""
    lines = textwrap.wrap(text, 86 - indent, break_on_hyphens=False)
    return "\n".join(f"{' ' * indent * bool(n)}# {t}" for n, t in enumerate(lines))
