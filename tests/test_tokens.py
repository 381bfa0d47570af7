"""Tokens are counted exactly or as an upper bound, and compared with limits."""

import json
import os
import sys
from pathlib import Path

import jsonschema
import pytest

from exporter import tokens
from exporter.chat import chat_messages
from exporter.cli.token_report import first_uids
from exporter.progress import set_printer
from tests.checked import finetune, write_export
from tests.corpus import encoded, lines
from tests.workspace import REPOSITORY, SHARED_DATA, Workspace, json_lines

CACHE = Path(
    os.environ.get("TIKTOKEN_CACHE_DIR") or SHARED_DATA.parent / "tiktoken_cache"
)
with_vocabulary = pytest.mark.skipif(
    not CACHE.exists(), reason=f"{CACHE} is absent: exact counts are not tested"
)


@with_vocabulary
def test_tokens_are_counted_exactly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(CACHE))
    counter = tokens.counter("gpt-4o")
    assert (counter.encoding, counter.exact) == ("o200k_base", True)
    tally = tokens.Tally(counter)
    tally.add(1, chat_messages("Be brief.", "Hello world", "<|endoftext|>"))
    assert counter.count("hello world") == 2
    # OpenAI's cookbook: three a message, one its role, three an example.
    content = [counter.count(t) for t in ("Be brief.", "Hello world", "<|endoftext|>")]
    assert tally.total == sum(content) + 3 * (3 + 1) + 3
    assert tally.facts() == {
        "encoding": "o200k_base",
        "exact": True,
        "total": tally.total,
        "longest": tally.total,
        "system_prompt": content[0] + 4,
    }


@with_vocabulary
def test_the_upper_bound_is_never_below_the_exact_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(CACHE))
    said: list[str] = []
    set_printer(said.append)
    exact, bound = tokens.counter("o200k_base"), tokens.counter("no such encoding")
    assert (exact.exact, bound.exact, len(said)) == (True, False, 1)
    assert said[0].startswith("tiktoken cannot load no such encoding: Unknown")
    texts = [
        "Bag",
        "",
        "  \n",
        "\U0001f600\u05ea\u05d9\u05e7",
        "x" * 99,
        "\ud7ff\u3000",
    ]
    assert all(exact.count(text) <= bound.count(text) for text in texts)


def test_without_tiktoken_bytes_are_counted_and_reported_as_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    said: list[str] = []
    set_printer(said.append)
    counter = tokens.counter("o200k_base")
    assert counter.count("caf\u00e9") == 5
    assert not counter.exact
    assert "pip install 'finetune-exporter[tokens]'; counting bytes" in said[0]


def test_check_reports_tokens_uids_limits_and_the_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "none"))
    folder = tmp_path / "files"
    write_export(folder)
    options = ["--encoding", "none", "--price", 2, "--epochs", 3]
    result = finetune("check", "--tokens", *options, cwd=tmp_path)
    assert result.returncode == 0
    assert "counting bytes, an upper bound" in result.stderr
    told = result.stdout.splitlines()
    assert told[0] == "files/train.jsonl: at most 774 tokens (bytes)"
    assert "  line 10: 66 tokens, uid uid-10" in told
    assert "  over 1,024 (trl, verl): 0" in told
    assert told[-1] == (
        "  trained in 3 epochs: at most 2,322 tokens, at most 0.00 at 2 per million"
    )


@with_vocabulary
def test_examples_over_each_limit_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(CACHE))
    long = lines(12)[0].replace(b"Bag 1.", b"Bag 1 " * 800)
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12)) + long)
    result = finetune("check", "--json", "--tokens", "train.jsonl", cwd=tmp_path)
    *found, figures = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(f["rule"], f["severity"], f["readers"]) for f in found] == [
        ("too-many-tokens", "warning", ["trl", "verl"]),
        ("too-many-tokens", "warning", ["llama-factory", "mlx", "openrlhf"]),
    ]
    assert "examples of more than 1,024 tokens: 1 " in found[0]["message"]
    assert figures.keys() == {*found[0].keys(), "tokens"}
    assert figures["tokens"]["exact"] is True
    assert figures["tokens"]["longest_lines"][0] == 13


def test_a_bound_in_bytes_warns_of_no_long_example(tmp_path: Path) -> None:
    long = lines(12)[0].replace(b"Bag 1.", b"Bag " * 600)
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12)) + long)
    options = ["--json", "--tokens", "--encoding", "none"]
    result = finetune("check", *options, "train.jsonl", cwd=tmp_path)
    [figures] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (figures["rule"], figures["tokens"]["exact"]) == ("tokens", False)
    assert " tokens at most, " in figures["message"]


def test_first_uids_are_those_of_the_split(tmp_path: Path) -> None:
    path = tmp_path / "clean.jsonl"
    rows = [
        {"split": split, "first_uid": uid}
        for split, uid in [
            ("train", "a"),
            ("validation", "b"),
            ("train", None),
            ("train", "c"),
        ]
    ]
    path.write_bytes(b"".join(map(encoded, rows)))
    assert first_uids(path, "train", [1, 2, 3]) == {1: "a", 3: "c"}
    assert first_uids(tmp_path / "none", "train", [1]) == {}


def test_an_export_reports_its_tokens_and_passes_every_reader(
    sample: Workspace,
) -> None:
    files = sample.export("--count-tokens", "--encoding", "none")
    document = json.loads((files / "manifest.json").read_bytes())
    schema = json.loads((REPOSITORY / "exporter/manifest.schema.json").read_bytes())
    jsonschema.validate(document, schema)
    train = document["splits"]["train"]["tokens"]
    assert (train["encoding"], train["exact"]) == ("bytes", False)
    examples = json_lines(files / "train.jsonl")
    texts = [m["content"] for row in examples for m in row["messages"]]
    assert train["total"] == sum(len(t.encode()) for t in texts) + 15 * len(examples)
    sizes = [
        15 + sum(len(m["content"].encode()) for m in row["messages"])
        for row in examples
    ]
    histogram = {int(least): count for least, count in train["histogram"].items()}
    assert sum(histogram.values()) == len(examples)
    assert histogram[max(histogram)] == sum(size >= max(histogram) for size in sizes)
    assert min(histogram) <= min(sizes) < 1.25 * min(histogram)
    assert document["splits"]["validation"]["tokens"]["total"] == 0
    checked = sample.finetune("check")
    assert checked.returncode == 0
    # The sample is of a real shop, whose texts hold HTML.
    [warning] = checked.stdout.splitlines()
    assert "HTML in 148 of 303 examples" in warning
    assert "examples: 303, different questions: 12" in checked.stderr
