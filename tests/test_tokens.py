import json
import os
import sys
from pathlib import Path

import jsonschema
import pytest

from exporter import tokens
from exporter.chat import chat_messages
from exporter.recipes import RECIPES, Export, room_above
from tests.conftest import REPOSITORY, SHARED_DATA, Workspace, json_lines
from tests.corpus import encoded, lines
from tests.test_check import finetune, write_export

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
    assert (counter.encoding, counter.caveat) == ("o200k_base", "")
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
def test_the_bound_is_never_below_the_exact_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(CACHE))
    exact, bound = tokens.counter("o200k_base"), tokens.counter("no such encoding")
    assert bound.caveat.startswith("tiktoken cannot load no such encoding: Unknown")
    texts = [
        "Bag",
        "",
        "  \n",
        "\U0001f600\u05ea\u05d9\u05e7",
        "x" * 99,
        "\ud7ff\u3000",
    ]
    assert all(exact.count(text) <= bound.count(text) for text in texts)


def test_without_tiktoken_there_is_a_bound_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    counter = tokens.counter("o200k_base")
    assert counter.count("caf\u00e9") == 5
    assert "pip install 'finetune-exporter[tokens]'" in counter.caveat


def test_a_tally_tells_percentiles_and_the_longest() -> None:
    tally = tokens.Tally(tokens.Counter("letters", len))
    for line in range(1, 101):
        tally.add(line, [{"role": "user", "content": "x" * line}])
    overhead = 4 + 3
    assert tally.percentiles(50, 90, 99, 100) == [
        n + overhead for n in (50, 90, 99, 100)
    ]
    assert tally.longest() == [(100 + overhead - n, 100 - n) for n in range(3)]
    assert tally.above(90 + overhead) == 10


def test_check_tells_tokens_uids_limits_and_the_cost(
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
    assert "  over 1,024 (trl): 0" in told
    assert told[-1] == (
        "  trained in 3 epochs: at most 2,322 tokens, at most 0.00 at 2 a million"
    )


def test_too_long_examples_are_counted_for_each_limit(tmp_path: Path) -> None:
    long = lines(12)[0].replace(b"Bag 1.", b"Bag " * 600)
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12)) + long)
    result = finetune(
        *["check", "--json", "--tokens", "--encoding", "none", "train.jsonl"],
        cwd=tmp_path,
    )
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(f["rule"], f["severity"], f["readers"]) for f in found] == [
        ("too-many-tokens", "warning", ["trl"]),
        ("too-many-tokens", "warning", ["llama-factory", "mlx"]),
    ]
    assert "examples of more than 1,024 tokens: at most 1 " in found[0]["message"]


EXPORT = Export(Path("files/train.jsonl"), Path("files/valid.jsonl"), 303, 812, 1024)


@pytest.mark.parametrize("valid", [EXPORT.valid, None])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_the_files_and_the_limit(name: str, valid: Path | None) -> None:
    text = RECIPES[name](EXPORT._replace(valid=valid))
    assert "files" in text
    if name not in {"nebius", "azure", "unsloth", "mlx"}:
        assert ("valid.jsonl" in text) == (valid is not None)
    if name not in {"together", "nebius", "azure"}:
        assert "1024" in text
    assert max(map(len, text.splitlines())) <= 90
    forgotten = {
        "trl": "assistant_only_loss=True",
        "unsloth": "train_on_responses_only",
        "mlx": "--mask-prompt",
        "llama-factory": '"formatting": "sharegpt"',
        "axolotl": "roles_to_train: [assistant]",
        "together": "--train-on-inputs false",
        "fireworks": "--max-context-length 1024",
        "nebius": "hyperparameters.lora=true",
        "azure": "trainingType",
    }
    assert forgotten[name] in text


def test_recipes_are_programs_and_configurations_that_parse() -> None:
    import yaml  # noqa: PLC0415

    for name in ("trl", "unsloth"):
        compile(RECIPES[name](EXPORT), name, "exec")
    assert yaml.safe_load(RECIPES["axolotl"](EXPORT))["sequence_len"] == 1024
    factory = RECIPES["llama-factory"](EXPORT)
    info, train = factory.split("\n# 2.")[0], factory.split("\n# 2.")[1]
    entries = json.loads(info[info.index("{") :])
    assert entries["products_valid"]["file_name"] == "valid.jsonl"
    settings = yaml.safe_load("#" + train.split("\n# 3.")[0])
    assert settings["dataset"] in entries


def test_the_limit_leaves_a_quarter_of_room() -> None:
    assert [room_above(n) for n in (1, 204, 205, 812, 65_536)] == [
        *[256, 256, 512, 1024, 81_920]
    ]


def test_recipe_fits_the_last_export(tmp_path: Path) -> None:
    write_export(tmp_path / "files")
    manifest = tmp_path / "files/manifest.json"
    document = json.loads(manifest.read_bytes())
    document["splits"]["train"]["tokens"] = {"longest": 1700}
    manifest.write_text(json.dumps(document))
    result = finetune("recipe", "mlx", cwd=tmp_path)
    assert "--max-seq-length 2304 --batch-size 4" in result.stdout
    assert (result.returncode, result.stderr) == (0, "")
    assert finetune("recipe", "gpt", cwd=tmp_path).returncode == 2
    document["splits"] = {}
    manifest.write_text(json.dumps(document))
    none = finetune("recipe", "mlx", cwd=tmp_path)
    assert none.returncode == 1
    assert "tells nothing of 'train'; run finetune export" in none.stderr


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
    assert tokens.first_uids(path, "train", [1, 2, 3]) == {1: "a", 3: "c"}
    assert tokens.first_uids(tmp_path / "none", "train", [1]) == {}


def test_an_export_tells_its_tokens_and_passes_every_reader(sample: Workspace) -> None:
    files = sample.export("--count-tokens", "--encoding", "none")
    document = json.loads((files / "manifest.json").read_bytes())
    schema = json.loads((REPOSITORY / "exporter/manifest.schema.json").read_bytes())
    jsonschema.validate(document, schema)
    train = document["splits"]["train"]["tokens"]
    assert (train["encoding"], train["exact"]) == ("bytes", False)
    examples = json_lines(files / "train.jsonl")
    texts = [m["content"] for row in examples for m in row["messages"]]
    assert train["total"] == sum(len(t.encode()) for t in texts) + 15 * len(examples)
    assert document["splits"]["validation"]["tokens"]["total"] == 0
    checked = sample.finetune("check")
    assert checked.returncode == 0
    assert "warning" not in checked.stdout
    assert "examples: 303, different questions: 12" in checked.stderr
    recipe = sample.finetune("recipe", "trl")
    assert f"longest example has {train['longest']:,}." in recipe.stdout
