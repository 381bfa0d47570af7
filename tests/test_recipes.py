"""Recipes are right for any export, and quote every text for their language."""

import ast
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import tokens
from exporter.readers import read_readers, recipes
from tests.checked import finetune, write_export
from tests.corpus import chat, encoded, message
from tests.lines import chat_line
from tests.rendered import LENGTHS, PYTHON, RECIPES, YAML, recipe, strings
from tests.workspace import Workspace

ODD = Path("my \"odd' files")


def test_every_reader_has_a_recipe_except_hf_datasets() -> None:
    assert read_readers().keys() - RECIPES.keys() == {"hf-datasets"}


@pytest.mark.parametrize("valid", [0, 50])
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_valid_in_its_language(name: str, valid: int) -> None:
    text = recipe(name, valid=valid)
    assert "files" in text
    assert max(map(len, text.splitlines())) <= 100
    uploads = {"openai", "azure", "nebius", "model-studio", "mlx", "huggingface"}
    if name not in uploads | {"tinker", "art", "litgpt", "oci"}:
        assert ("valid.jsonl" in text) == bool(valid)
    if name in PYTHON:
        ast.parse(text)
    elif name in YAML:
        assert isinstance(yaml.safe_load(text), dict)
    else:
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"huggingface"}))
def test_a_recipe_contains_the_named_model(name: str) -> None:
    facts: dict[str, Any] = {"examples": 3, "valid_examples": 0, "lengths": LENGTHS}
    mine = recipes.render(RECIPES[name], Path("files"), model="it's/9", **facts)
    assert "MODEL" not in mine
    assert mine.replace("'\"'\"'", "'").replace(r"\u0027", "'").count("it's/9") >= 1
    if name in PYTHON:
        ast.parse(mine)
    elif name in YAML:
        assert "it's/9" in str(yaml.safe_load(mine))
    else:
        subprocess.run(["sh", "-n"], input=mine, text=True, check=True)
    open_one = recipes.render(RECIPES[name], Path("files"), model=None, **facts)
    assert ("MODEL" in open_one) != ("Qwen" in open_one)


@pytest.mark.parametrize("name", RECIPES)
def test_a_path_with_blanks_and_quotes_stays_one_path(name: str) -> None:
    text = recipe(name, ODD)
    train, valid = f"{ODD}/train.jsonl", f"{ODD}/valid.jsonl"
    if name in PYTHON:
        nodes = [*ast.walk(ast.parse(text))]
        values = {n.value for n in nodes if isinstance(n, ast.Constant)}
    elif name in YAML:
        values = {*strings(yaml.safe_load(text))}
    else:
        values = {*shlex.split(text, comments=True)}
        named = {str(ODD), train, f"file=@{json.dumps(train)}", f"card={ODD}/README.md"}
        assert named & values or f"{ODD}/dataset_info.json" in values
        return
    assert train in values
    assert valid in values or name in {"tinker", "art"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trl", "assistant_only_loss=True"),
        ("trl", 'eval_strategy="epoch"'),
        ("trl", "It trains every weight and needs a GPU"),
        ("unsloth", "train_on_responses_only"),
        ("unsloth", 'eval_dataset=data["validation"]'),
        ("mlx", "--mask-prompt"),
        ("llama-factory", '"formatting": "sharegpt"'),
        ("llama-factory", "eval_strategy: epoch"),
        ("llama-factory", "logging_steps: 10"),
        ("axolotl", "roles_to_train: [assistant]"),
        ("axolotl", "evals_per_epoch: 1"),
        ("together", "tg ft create -t files/train.jsonl"),
        ("together", "--train-on-inputs false"),
        ("fireworks", "--max-context-length 1024"),
        ("nebius", "--extra method=null"),
        ("azure", "trainingType"),
        ("openrlhf", "--data.input_key messages --data.apply_chat_template"),
        ("verl", "data.max_length=1024"),
        ("ms-swift", "--val_dataset files/valid.jsonl"),
    ],
)
def test_a_recipe_contains_what_people_forget(name: str, said: str) -> None:
    assert said in recipe(name)


def test_a_recipe_says_if_it_is_not_tested() -> None:
    run = {name for name in RECIPES if not recipe(name).startswith("# Not run")}
    assert run == {"trl", "mlx", "llama-factory", "axolotl"}


def test_llama_factory_finds_the_files_that_its_recipe_writes(tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    text = recipe("llama-factory", ODD).replace("llamafactory-cli", "echo ran")
    done = subprocess.run(
        ["sh"], input=text, text=True, cwd=tmp_path, check=True, capture_output=True
    )
    assert done.stdout == "ran train train.yaml\n"
    settings = yaml.safe_load((tmp_path / "train.yaml").read_text())
    folder = tmp_path / settings["dataset_dir"]
    entries = json.loads((folder / "dataset_info.json").read_text())
    assert entries[settings["dataset"]]["file_name"] == "train.jsonl"
    assert entries[settings["eval_dataset"]]["file_name"] == "valid.jsonl"


def test_litgpt_gets_its_own_names_for_prompt_and_completion(tmp_path: Path) -> None:
    (tmp_path / ODD).mkdir()
    row = chat_line(
        system="Be", title="Bag", description="Caf\u00e9", dialect="prompt-completion"
    )
    for name in ("train", "valid"):
        (tmp_path / ODD / f"{name}.jsonl").write_bytes(row)
    text = "litgpt() { :; }\n" + recipe("litgpt", ODD)
    subprocess.run(["sh"], input=text, text=True, cwd=tmp_path, check=True)
    for name in ("train", "val"):
        made = json.loads((tmp_path / f"litgpt-data/{name}.jsonl").read_text())
        assert made == {"instruction": "Be\n\nBag", "output": "Caf\u00e9"}


@pytest.mark.parametrize(
    ("limit", "context", "sagemaker"),
    [
        *((256, 8_192, 1), (8_192, 8_192, 8), (9_216, 16_384, 16)),
        *((16_384, 16_384, 16), (262_144, 262_144, 128)),
    ],
)
def test_a_limit_in_a_provider_s_steps_fits_the_longest_example(
    limit: int, context: int, sagemaker: int
) -> None:
    long = LENGTHS._replace(longest=limit - 9, max_tokens=limit)
    facts: dict[str, Any] = {"examples": 12, "valid_examples": 0, "lengths": long}
    other = recipes.render(RECIPES["sagemaker"], Path("files"), **facts)
    assert f'sequence_length="{sagemaker}K"' in other
    text = recipes.render(RECIPES["nebius"], Path("files"), **facts)
    words = shlex.split(text, comments=True)
    [given] = [word for word in words if word.startswith("hyperparameters=")]
    assert json.loads(given.partition("=")[2]) == {
        "n_epochs": 1,
        "lora": True,
        "context_length": context,
    }
    assert "method=null" in words


def write_texts(folder: Path, *answers: str) -> list[Path]:
    path = folder / "train.jsonl"
    rows = [chat(message("user", "Bag"), message("assistant", a)) for a in answers]
    path.write_bytes(b"".join(map(encoded, rows)))
    return [path]


def test_bytes_are_reported_as_an_upper_bound(tmp_path: Path) -> None:
    paths = write_texts(tmp_path, "x" * 1_000, "\u0958" * 10)
    lengths = recipes.measure_lengths(paths, tokens.BYTES, 32_768, "messages")
    assert (lengths.longest, lengths.max_tokens) == (1_000 + 3 + 2 * 8 + 40, 1_280)
    assert lengths.sentence() == (
        "The longest example has at most 1,059 tokens (its bytes; --tokenizer FILE "
        "counts exactly)."
    )
    # Normalized as Qwen's tokenizer does, this letter is two, of three bytes each.
    paths = write_texts(tmp_path, "\u0958" * 100)
    lengths = recipes.measure_lengths(paths, tokens.BYTES, None, "messages")
    assert lengths.longest == 600 + 3 + 2 * 8 + 40


@pytest.mark.parametrize("exact", [True, False])
def test_rows_over_the_context_are_named_and_then_counted(
    tmp_path: Path, exact: bool
) -> None:
    counter = tokens.Counter("words", lambda text: len(text.split()), exact=exact)
    assert recipes.measure_lengths([], counter, 100, "messages") == (
        *(0, 100, []),
        *("" if exact else "its bytes; --tokenizer FILE counts exactly", 100),
    )
    paths = write_texts(tmp_path, *("word " * (n + 43) for n in range(6)))
    longest = "105 tokens"
    if not exact:
        longest = f"at most {longest} (its bytes; --tokenizer FILE counts exactly)"
    have = "have" if exact else "may have"
    for context, more in ((100, " and 2 more"), (101, " and 1 more"), (102, "")):
        lengths = recipes.measure_lengths(paths, counter, context, "messages")
        over = [f"train.jsonl line {n} ({n + 99})" for n in range(context - 98, 7)]
        assert (lengths.longest, lengths.max_tokens) == (105, context)
        assert (lengths.over, lengths.context) == (over, context)
        assert lengths.sentence() == (
            f"The longest example has {longest}. {', '.join(over[:3])}{more} {have} "
            f"more than the {context} tokens of the model's context: shorten or drop "
            "them."
        )
    assert recipes.measure_lengths(paths, counter, None, "messages").max_tokens == 256


def test_a_limit_is_at_most_the_model_s_context_and_longer_rows_are_named(
    tmp_path: Path,
) -> None:
    write_export(tmp_path / "files")
    train = tmp_path / "files/train.jsonl"
    long = encoded(chat(message("user", "Bag"), message("assistant", "x" * 1_000_000)))
    train.write_bytes(train.read_bytes() + long)
    for name in ("trl", "mlx", "llama-factory", "axolotl", "unsloth", "ms-swift"):
        result = finetune("recipe", name, cwd=tmp_path)
        assert result.returncode == 0
        assert "train.jsonl line 13 (1,000,059)" in result.stderr
        flat = " ".join(result.stdout.replace("#", " ").split())
        assert "may have more than the 32,768 tokens of the model's context" in flat
        assert "32768" in result.stdout
        assert "1000" not in result.stdout.replace("1,000,059", "")


def test_the_models_own_tokenizer_counts_exactly(tmp_path: Path) -> None:
    write_export(tmp_path / "files")
    train = tmp_path / "files/train.jsonl"
    long = encoded(chat(message("user", "Bag"), message("assistant", "bag " * 500)))
    train.write_bytes(train.read_bytes() + long)
    (tmp_path / "tokenizer.json").write_text(words_tokenizer())
    result = finetune("recipe", "trl", "--tokenizer", "tokenizer.json", cwd=tmp_path)
    assert "The longest example has 557 tokens.\n" in result.stdout
    assert "max_length=768" in result.stdout
    (tmp_path / "tokenizer.json").write_text("{}")
    wrong = finetune("recipe", "trl", "--tokenizer", "tokenizer.json", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "tokenizer.json: not the tokenizer.json of a model" in wrong.stderr
    missing = finetune("recipe", "trl", "--tokenizer", "none.json", cwd=tmp_path)
    assert missing.returncode == 1


def words_tokenizer() -> str:
    """Return a tokenizer.json for which a word is a token."""
    model = {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"}
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": [],
            "model": model,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            **dict.fromkeys(["normalizer", "post_processor", "decoder"]),
            **dict.fromkeys(["truncation", "padding"]),
        }
    )


def test_a_recipe_fits_the_last_export(sample: Workspace) -> None:
    sample.export()
    for name in RECIPES:
        done = sample.finetune("recipe", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    unknown = sample.finetune("recipe", "gpt")
    assert unknown.returncode == 2
    assert "'gpt' is not one of 'openai', 'azure'" in unknown.stderr


def test_readers_are_listed_and_shown_with_all_facts(tmp_path: Path) -> None:
    listed = finetune("readers", cwd=tmp_path)
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names == [*read_readers()]
    for name in ("ms-swift", "nemo", "art", "model-studio", "sagemaker", "openrlhf"):
        assert name in names
    shown = finetune("readers", "nemo", cwd=tmp_path)
    assert "raw-line-end" in shown.stdout
    assert finetune("readers", "gpt", cwd=tmp_path).returncode == 2


def test_the_rules_are_listed_with_the_readers_that_they_affect(tmp_path: Path) -> None:
    listed = finetune("check", "--list-rules", cwd=tmp_path)
    assert listed.returncode == 0
    assert "raw-line-end: raw ...: " in listed.stdout
    lines = finetune("check", "--list-rules", "--json", cwd=tmp_path).stdout
    rules = {rule["rule"]: rule for rule in map(json.loads, lines.splitlines())}
    assert rules["raw-line-end"]["error"] == ["nemo"]
    assert "openai" in rules["bom"]["error"]
