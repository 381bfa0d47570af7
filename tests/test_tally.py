"""A tally counts the tokens of each example, and shows totals and sizes."""

import json
import sys
from pathlib import Path

import pytest
import tiktoken
from tokenizers import Tokenizer, models, pre_tokenizers

from exporter import tokens
from exporter.errors import FinetuneError
from exporter.progress import set_printer

LETTERS = tokens.Counter("letters", len)


def message(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def test_an_example_has_the_tokens_of_its_texts_and_of_the_chat_format() -> None:
    tally = tokens.Tally(LETTERS)
    tally.add(1, [message("system", "12345"), message("user", "123")])
    tally.add(2, [message("system", "12345"), message("assistant", "1")])
    tally.add(3, [message("user", "")])
    assert [*tally.counts] == [5 + 3 + 2 * 4 + 3, 5 + 1 + 2 * 4 + 3, 4 + 3]
    assert tally.total == 19 + 17 + 7
    assert tally.facts() == {
        "encoding": "letters",
        "exact": True,
        "total": 43,
        "longest": 19,
        "system_prompt": 2 * (5 + 4),
    }
    bound = tokens.Tally(tokens.BYTES)
    assert bound.facts() == {
        "encoding": "bytes",
        "exact": False,
        "total": 0,
        "longest": 0,
        "system_prompt": 0,
    }


@pytest.mark.parametrize(
    ("content", "letters"),
    [
        ("ab", 2),
        (["x", {"text": "ab"}, {"text": 5}, {"text": "cd"}, {"type": "image"}], 4),
        (None, 0),
        (5, 0),
    ],
)
def test_the_texts_of_any_content_are_counted(content: object, letters: int) -> None:
    tally = tokens.Tally(LETTERS)
    tally.add(1, [message("user", content)])
    assert tally.total == letters + 4 + 3


@pytest.mark.parametrize("key", ["tool_calls", "function_call"])
def test_the_calls_of_a_message_are_counted(key: str) -> None:
    tally = tokens.Tally(tokens.BYTES)
    call = {"name": "price", "arguments": '{"of": "caf\u00e9"}'}
    tally.add(1, [{"role": "assistant", "content": None, key: call}])
    assert tally.total > len(call["arguments"].encode()) + len("nameprice") + 7


def test_the_three_longest_examples_are_in_order_of_size_then_line() -> None:
    tally = tokens.Tally(LETTERS)
    for line, size in enumerate([5, 9, 7, 9, 1], 1):
        tally.add(line, [message("user", "x" * size)])
    assert tally.longest() == [(16, 2), (16, 4), (14, 3)]
    assert (tally.above(13), tally.above(14), tally.above(16)) == (3, 2, 0)


def test_a_percentile_is_what_that_share_of_examples_does_not_exceed() -> None:
    tally = tokens.Tally(LETTERS)
    tally.counts.extend([30, 10, 20, 40])
    assert tokens.percentiles(tally.counts, 0, 1, 25, 26, 50, 51, 99, 100) == [
        *(10, 10, 10, 20, 20, 30, 40, 40)
    ]
    assert tokens.percentiles(range(1, 201), 51) == [102]


def test_sizes_are_counted_from_each_edge_up_to_the_next() -> None:
    tally = tokens.Tally(LETTERS)
    tally.counts.extend([7, 8, 9, 10, 1, 8])
    assert tokens.EDGES[:11] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13]
    assert tally.histogram() == {"1": 1, "7": 1, "8": 3, "10": 1}


def test_the_tokenizer_of_a_model_counts_its_own_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    words = Tokenizer(models.WordLevel({"lamp": 0, "?": 1}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(path))
    counter = tokens.from_file(path)
    assert (counter.encoding, counter.exact) == ("tokenizer.json", True)
    assert counter.count("lamp lamp table") == 3


def test_a_vocabulary_is_found_by_its_name_or_by_that_of_a_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letters = {bytes([byte]): byte for byte in range(256)} | {b"lamp": 256, b"la": 257}
    letters[b"mp"] = 258
    small = tiktoken.Encoding(
        "small", pat_str=r"\S+", mergeable_ranks=letters, special_tokens={"<|x|>": 259}
    )
    monkeypatch.setattr(tiktoken, "get_encoding", {"small": small}.__getitem__)
    monkeypatch.setattr(tiktoken, "encoding_for_model", {"lamp-1": small}.__getitem__)
    for name in ("small", "lamp-1"):
        counter = tokens.counter(name)
        assert (counter.encoding, counter.exact) == ("small", True)
        assert counter.count("<|x|>") == 5


def test_without_a_vocabulary_its_error_is_printed_and_bytes_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: str) -> tiktoken.Encoding:
        raise ValueError(f"{'x' * 120}\nmore")

    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    lines: list[str] = []
    set_printer(lines.append)
    assert tokens.counter("none") == tokens.BYTES
    assert lines == [
        f"tiktoken cannot load none: {'x' * 100}; counting bytes, an upper bound"
    ]


def test_an_invalid_tokenizer_file_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(FinetuneError, match=f"^{path}: No such file or directory$"):
        tokens.from_file(path)
    path.write_text(json.dumps({"model": 5}))
    with pytest.raises(
        FinetuneError, match=f"^{path}: not the tokenizer.json of a model: .{{5,100}}$"
    ):
        tokens.from_file(path)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(FinetuneError) as caught:
        tokens.from_file(path)
    assert str(caught.value) == (
        "--tokenizer needs tokenizers: pip install 'finetune-exporter[tokens]'"
    )
