"""A recipe: the hand-off of an export to a reader, from the template in its file."""

import glob
import json
import shlex
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import orjson

from exporter.checking.dialects import Conversation
from exporter.readers import Reader
from exporter.tokens import Counter

# The model that the recipes train unless another is named, and the longest row
# that it can take (max_position_embeddings of its config.json, 2026-11-25).
MODEL, CONTEXT = "Qwen/Qwen2.5-0.5B-Instruct", 32_768

# What a chat template adds, at most: the marks and the role of a message, and a
# system message of its own (Qwen2.5's has 21 tokens with its marks, Llama 3's 25).
_PER_MESSAGE = 8
_PER_EXAMPLE = 40
_STEP = 256
_SHOWN = 3


class Lengths(NamedTuple):
    """How long the examples are, in tokens, and the rows over the model's context.

    A `caveat` says why it is a bound and not a count.
    """

    longest: int
    max_tokens: int
    over: list[str]
    caveat: str
    context: int | None

    def sentence(self) -> str:
        """Return what a recipe says of the lengths, with their unit."""
        count = f"{self.longest:,} tokens"
        if self.caveat:
            count = f"at most {count} ({self.caveat})"
        text = f"The longest example has {count}."
        if self.over and self.context:
            more = f" and {len(self.over) - _SHOWN:,} more" * (len(self.over) > _SHOWN)
            may = "may have" if self.caveat else "have"
            text += (
                f" {', '.join(self.over[:_SHOWN])}{more} {may} more than the "
                f"{self.context:,} tokens that the model takes: shorten or drop them."
            )
        return text


def measure(
    paths: Iterable[Path], counter: Counter, context: int | None, dialect: str
) -> Lengths:
    """Measure the examples of files in a dialect.

    Texts are counted as they are and in Unicode's form NFC, into which some
    tokenizers bring them; the larger count holds.
    """
    longest, over = 0, []
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                messages = Conversation(orjson.loads(line), dialect).messages
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


def render(reader: Reader, folder: Path, **facts: Any) -> str:  # noqa: ANN401
    """Return the recipe of a reader for the export in the folder.

    Facts are `valid_examples` and `examples`, `model` or None, and `lengths` if
    the recipe needs them. A text is quoted for the language it stands in: `sh`,
    `py`, `json` (YAML too). A line with "?" before it stands there only if there is
    a validation file. A recipe that nobody has executed says so.
    """
    # Text, not HTML, is made here.
    environment = jinja2.Environment(  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "sh": shlex.quote,
        "py": lambda text: json.dumps(text) if text.isascii() else repr(text),
        "json": lambda text: json.dumps(text, ensure_ascii=False),
        # JSON between the single quotes of a shell.
        "inner": lambda text: json.dumps(text)[1:-1].replace("'", r"\u0027"),
        "glob": glob.escape,
        "n": "{:,}".format,
        # The next power of two.
        "power": lambda number: 1 << (number - 1).bit_length(),
        "comment": _comment,
    }
    # A name that begins with a dash would be taken for an option.
    place = f"./{folder}" if str(folder).startswith("-") else str(folder)
    lengths = facts.get("lengths")
    given = facts.pop("model", None)
    placeholder = MODEL if reader.kind == "trainer" else "MODEL"
    needs = "a GPU" if reader.kind == "trainer" else "an account"
    proofs = {
        "executed": "",
        "parsed": f"# Not run: it needs {needs}; the client knows the options.\n",
        "": f"# Not run: it needs {needs}.\n",
    }
    lines = reader.recipe.splitlines(keepends=True)
    if not facts["valid_examples"]:
        lines = [line for line in lines if not line.startswith("?")]
    template = "".join(line.removeprefix("?") for line in lines)
    return proofs[reader.proof] + environment.from_string(template).render(
        folder=place,
        train=f"{place}/train.jsonl",
        valid=f"{place}/valid.jsonl" if facts["valid_examples"] else "",
        reader=reader,
        max_tokens=lengths.max_tokens if lengths else None,
        model=given or placeholder,
        given=given,
        **facts,
    )


def _comment(text: str, indent: int = 0) -> str:
    """Return a text as lines of a comment, all but the first indented."""
    lines = textwrap.wrap(text, 86 - indent, break_on_hyphens=False)
    return "\n".join(f"{' ' * indent * bool(n)}# {t}" for n, t in enumerate(lines))
