"""Recipes as they are printed, executed offline with a tiny random model.

`make test-recipes` makes an environment for each trainer and runs it.
"""

import gzip
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from exporter.readers import read_readers, recipes
from exporter.tokens import BYTES, from_file
from tests.lines import chat_line
from tests.measured import record
from tests.workspace import REPOSITORY, SHARED_DATA

pytestmark = pytest.mark.recipes
PROGRAM = Path(__file__).with_name("run_recipe.py")
FOLDER = Path("my 'odd\" [files]")
RENAMED = Path("my 'odd\" files")
_TEXTS = [
    "It holds {} cups of caf\u00e9. ",
    "\u03a7\u03c9\u03c1\u03ac\u03b5\u03b9 {} \u03c6\u03bb\u03b9\u03c4\u03b6\u03ac\u03bd\u03b9\u03b1. ",  # noqa: E501
    "\u0907\u0938\u092e\u0947\u0902 {} \u0915\u092a \u0906\u0924\u0947 \u0939\u0948\u0902\u0964 ",  # noqa: E501
    "\u0b87\u0ba4\u0bbf\u0bb2\u0bcd {} \u0b95\u0bcb\u0baa\u0bcd\u0baa\u0bc8. ",
]
ANSWERS = [(_TEXTS[n % 4].format(n) * 2).strip() for n in range(48)]
LEARNED = f"{len(ANSWERS)} of {len(ANSWERS)} rows train only the answer, none is cut"
SYSTEM = "You write product descriptions."


def python(venv: str) -> Path:
    return REPOSITORY / f".venv-{venv}/bin/python"


def run(folder: Path, venv: str, *command: str | Path) -> str:
    """Run a command of an environment, offline, and return what it printed."""
    program = python(venv).parent
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "cache"), "PATH": path}
    quiet = {"AXOLOTL_DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | offline | quiet,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stderr + done.stdout


def inside(folder: Path, venv: str, *arguments: str | Path) -> dict[str, Any]:
    said = run(folder, venv, python(venv), PROGRAM, *arguments)
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random model with the tokenizer of the recipes' one."""
    folder = tmp_path_factory.mktemp("model")
    inside(folder, "recipes", "model", recipes.MODEL)
    return folder / recipes.MODEL


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    """Return a folder with an export, and the model where the recipes name it."""
    place = tmp_path / recipes.MODEL
    place.parent.mkdir()
    place.symlink_to(tiny_model)
    (tmp_path / FOLDER).mkdir()
    for name, answers in {"train": ANSWERS, "valid": ANSWERS[:4]}.items():
        lines = [
            chat_line(system=SYSTEM, title=f"{name} {n}", description=answer)
            for n, answer in enumerate(answers)
        ]
        (tmp_path / FOLDER / f"{name}.jsonl").write_bytes(b"".join(lines))
    return tmp_path


def printed(name: str, folder: Path) -> str:
    """Return the recipe of a reader for the export."""
    paths = [folder / FOLDER / f"{file}.jsonl" for file in ("train", "valid")]
    return recipes.render(
        read_readers()[name],
        FOLDER,
        examples=len(ANSWERS),
        valid_examples=4,
        model=recipes.MODEL,
        lengths=recipes.measure_lengths(paths, BYTES, recipes.CONTEXT, "messages"),
    )


def proven(found: dict[str, Any]) -> None:
    """Prove that the answers and nothing else are trained, and that none is cut."""
    # The template ends a role with a line end, which some count to the answer.
    learned = sorted(text.strip("\n") for text in found["answers"])
    assert learned == sorted(f"{answer}<|im_end|>" for answer in ANSWERS)


def trained(found: dict[str, Any]) -> str:
    """Prove that, and that the loss falls, also on what is not trained."""
    proven(found)
    losses, held_out = found["losses"], found["eval_losses"]
    assert losses[-1] < losses[0]
    assert held_out[-1] < held_out[0]
    return (
        f"{LEARNED}; loss {losses[0]:.3f} to {losses[-1]:.3f}, on valid.jsonl "
        f"{held_out[0]:.3f} to {held_out[-1]:.3f}"
    )


def test_trl_trains_exactly_the_answers_and_evaluates(folder: Path) -> None:
    (folder / "train.py").write_text(printed("trl", folder))
    said = trained(inside(folder, "recipes", "trl", "train.py"))
    record("recipes", "trl", python("recipes"), "trl", said)


def test_mlx_trains_exactly_the_answers_and_evaluates(folder: Path) -> None:
    (folder / "recipe.sh").write_text(printed("mlx", folder))
    (folder / "said.txt").write_text(run(folder, "recipes", "sh", "recipe.sh"))
    said = trained(inside(folder, "recipes", "mlx", "recipe.sh", "said.txt"))
    record("recipes", "mlx", python("recipes"), "mlx-lm", said)


def test_llama_factory_trains_exactly_the_answers_and_evaluates(folder: Path) -> None:
    text = printed("llama-factory", folder)
    assert "in its name would be read as patterns" in text
    (folder / FOLDER).rename(folder / RENAMED)
    (folder / "recipe.sh").write_text(text.replace("[files]", "files"))
    run(folder, "llama-factory", "sh", "recipe.sh")
    said = trained(inside(folder, "llama-factory", "llama-factory", "train.yaml"))
    record("recipes", "llama-factory", python("llama-factory"), "llamafactory", said)


def test_axolotl_trains_exactly_the_answers(folder: Path) -> None:
    (folder / "axolotl.yaml").write_text(printed("axolotl", folder))
    run(folder, "axolotl", "axolotl", "preprocess", "axolotl.yaml")
    proven(inside(folder, "axolotl", "axolotl", recipes.MODEL))
    said = f"{LEARNED} (`axolotl preprocess`; training needs a GPU)"
    record("recipes", "axolotl", python("axolotl"), "axolotl", said)


def written(name: str, folder: Path) -> Path:
    """Write the recipe of a reader of prompts and completions, and rows for it."""
    for file in ("train", "valid"):
        rows = [
            chat_line(
                system=SYSTEM,
                title=f"{file} {n}",
                description=answer,
                dialect="prompt-completion",
            )
            for n, answer in enumerate(ANSWERS)
        ]
        (folder / FOLDER / f"{file}.jsonl").write_bytes(b"".join(rows))
    text = recipes.render(
        read_readers()[name], FOLDER, examples=len(ANSWERS), valid_examples=4
    )
    (folder / "recipe.sh").write_text(text)
    return folder / "recipe.sh"


def test_oracles_command_line_knows_the_options_and_keys(folder: Path) -> None:
    written("oci", folder)
    assert inside(folder, "recipes", "oci", "recipe.sh") == {
        "commands": 2,
        "unknown": [],
    }


def test_litgpts_parser_accepts_the_command_and_its_rows(folder: Path) -> None:
    recipe = written("litgpt", folder)
    parse = 'litgpt() { command litgpt "$@" --print_config > config.yaml; }\n'
    recipe.write_text(parse + recipe.read_text())
    run(folder, "recipes", "sh", "recipe.sh")
    config = inside(folder, "recipes", "litgpt", "config.yaml")
    data = config["data"]["init_args"]
    assert config["checkpoint_dir"] == recipes.MODEL
    assert (data["json_path"], data["mask_prompt"]) == ("litgpt-data", True)
    assert config["train"]["epochs"] == 1
    for name in ("train", "val"):
        rows = (folder / "litgpt-data" / f"{name}.jsonl").read_text().splitlines()
        assert [json.loads(row)["output"] for row in rows] == ANSWERS
        assert {*json.loads(rows[0])} == {"instruction", "output"}


def rows_of(path: Path) -> int:
    return path.read_bytes().count(b"\n")


@pytest.mark.parametrize("exact", [False, True])
def test_no_recipe_cuts_a_row_of_a_large_set_in_many_scripts(
    exact: bool, folder: Path, tiny_model: Path
) -> None:
    """Count every row with the real vocabulary of the model that recipes name."""
    source = SHARED_DATA / "appstream_cc0.jsonl.gz"
    if not source.exists():
        pytest.skip(f"{source} is absent")
    path = folder / "train.jsonl"
    with gzip.open(source) as rows, path.open("wb") as file:
        for row in map(json.loads, rows):
            if row["title"] and row["content"]:
                file.write(
                    chat_line(
                        system=SYSTEM, title=row["title"], description=row["content"]
                    )
                )
    longest = inside(folder, "recipes", "count", recipes.MODEL, path)[str(path)]
    counter = from_file(tiny_model / "tokenizer.json") if exact else BYTES
    lengths = recipes.measure_lengths([path], counter, recipes.CONTEXT, "messages")
    assert longest <= lengths.max_tokens
    assert not lengths.over
    if exact:
        assert lengths.max_tokens < longest + 400
    how = "its tokenizer" if exact else "bytes"
    record(
        "lengths",
        "exact" if exact else "bytes",
        python("recipes"),
        "dashscope",
        f"{rows_of(path):,} rows of AppStream, the longest of {longest:,} tokens; the "
        f"limit by {how} is {lengths.max_tokens:,}",
    )
    for name, reader in read_readers().items():
        if reader.recipe and "max_tokens" in reader.recipe:
            text = recipes.render(
                reader,
                FOLDER,
                examples=rows_of(path),
                valid_examples=0,
                model=recipes.MODEL,
                lengths=lengths,
            )
            limits = [int(n) for n in re.findall(r"\d+", text) if int(n) >= longest]
            assert limits or name == "sagemaker", name
