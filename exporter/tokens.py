"""Count the tokens of examples: exactly with a tokenizer, else an upper bound."""

import heapq
import json
from array import array
from bisect import bisect_right
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from exporter.errors import FinetuneError
from exporter.progress import say

# OpenAI's chat format adds three tokens and one for the role to each message, and
# three to each example (OpenAI's cookbook, "How to count tokens", 2026-11-22). Other
# models' formats add about as many.
_PER_MESSAGE = 4
_PER_EXAMPLE = 3
_LONGEST = 3

# Whole numbers a quarter of an octave apart: 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, ...
EDGES = sorted({round(2 ** (n / 4)) for n in range(160)})


class Counter(NamedTuple):
    """A function that counts the tokens of a text, and the name of its encoding.

    Unless it is `exact`, the count is an upper bound.
    """

    encoding: str
    count: Callable[[str], int]
    exact: bool = True


def counter(encoding: str) -> Counter:
    """Return the counter for an encoding or a model, by tiktoken's name.

    Without tiktoken, or without the vocabulary that it downloads, print why and
    return the counter of bytes.
    """
    reason = "tiktoken is not installed: pip install 'finetune-exporter[tokens]'"
    try:
        tiktoken = import_module("tiktoken")
        try:
            chosen = tiktoken.encoding_for_model(encoding)
        except KeyError:
            chosen = tiktoken.get_encoding(encoding)
    except ImportError:
        pass
    except (OSError, ValueError) as error:
        reason = f"tiktoken cannot load {encoding}: {_first_line(error)}"
    else:
        return Counter(chosen.name, lambda text: len(chosen.encode_ordinary(text)))
    say(f"{reason}; counting bytes, an upper bound")
    return BYTES


def from_file(path: Path) -> Counter:
    """Return the counter for a model's own tokenizer.json.

    Raises:
        FinetuneError: The library tokenizers is missing, or cannot read the file.
    """
    try:
        library = import_module("tokenizers")
    except ImportError as error:
        raise FinetuneError(
            "--tokenizer needs tokenizers: pip install 'finetune-exporter[tokens]'"
        ) from error
    try:
        tokenizer = library.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FinetuneError(f"{path}: {error.strerror}") from error
    except Exception as error:  # The library raises nothing narrower.
        raise FinetuneError(
            f"{path}: not the tokenizer.json of a model: {_first_line(error)}"
        ) from error
    return Counter(
        path.name, lambda text: len(tokenizer.encode(text, add_special_tokens=False))
    )


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:100]


# An upper bound, because a token has at least one byte.
BYTES = Counter(
    "bytes", lambda text: len(text.encode("utf-8", "surrogatepass")), exact=False
)


def percentiles(values: Iterable[int], *percents: int) -> list[int]:
    """Return, for each percentage, the value that this share does not exceed."""
    ordered = sorted(values)
    return [ordered[max(0, -(-len(ordered) * p // 100) - 1)] for p in percents]


class Tally:
    """The token counts of the examples of a file."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.counts = array("Q")
        self.system = 0
        self._count_system = lru_cache(maxsize=64)(counter.count)
        self._longest: list[tuple[int, int]] = []

    def add(self, line: int, messages: Sequence[Any]) -> None:
        """Count the tokens of the example on a line."""
        tokens = _PER_EXAMPLE + _PER_MESSAGE * len(messages)
        for message in messages:
            text = _text(message.get("content"))
            for call in filter(None, map(message.get, ("tool_calls", "function_call"))):
                text += json.dumps(call, ensure_ascii=False)
            if message.get("role") == "system":
                own = self._count_system(text)
                self.system += own + _PER_MESSAGE
            else:
                own = self.counter.count(text)
            tokens += own
        self.counts.append(tokens)
        heapq.heappush(self._longest, (tokens, -line))
        if len(self._longest) > _LONGEST:
            heapq.heappop(self._longest)

    @property
    def total(self) -> int:
        """The tokens of all examples together."""
        return sum(self.counts)

    def longest(self) -> list[tuple[int, int]]:
        """Return the tokens and the line of each of the longest examples."""
        return [(tokens, -line) for tokens, line in sorted(self._longest, reverse=True)]

    def above(self, limit: int) -> int:
        """Return how many examples have more tokens than the limit."""
        return sum(tokens > limit for tokens in self.counts)

    def histogram(self) -> dict[str, int]:
        """Return how many examples are between each of the EDGES and the next one."""
        counts = Counts(EDGES[bisect_right(EDGES, size) - 1] for size in self.counts)
        return {str(least): counts[least] for least in sorted(counts)}

    def facts(self) -> dict[str, Any]:
        """Return the facts for a manifest."""
        return {
            "encoding": self.counter.encoding,
            "exact": self.counter.exact,
            "total": self.total,
            "longest": max(self.counts, default=0),
            "system_prompt": self.system,
        }


def _text(content: object) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""
