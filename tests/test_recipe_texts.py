"""A recipe quotes every folder for its language, and says what it needs."""

import ast
import glob
import json
import shlex
from pathlib import Path

import pytest
import yaml

from exporter.readers import read_readers, recipes
from tests.rendered import LENGTHS, PYTHON, RECIPES, YAML, recipe, strings

FOLDERS = [
    *("-files", "~/files", "$HOME/`id`", "a {{ b }} %s", "tab\there", "line\nend"),
    *("back\\slash", "caf\u00e9 \U0001f4a1", "[1-9]*?", "#x", "a: b", "'\"", "\u2028"),
]
# These name patterns of files, so what is special in a pattern is escaped.
PATTERNS = {"trl", "unsloth", "axolotl"}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", RECIPES)
def test_any_folder_stays_one_path(name: str, folder: str) -> None:
    text = recipe(name, Path(folder))
    safe = f"./{folder}" if folder.startswith("-") else folder
    train = f"{safe}/train.jsonl"
    if name in PATTERNS:
        train = glob.escape(train)
    if name in PYTHON:
        nodes = [*ast.walk(ast.parse(text))]
        assert train in {n.value for n in nodes if isinstance(n, ast.Constant)}
    elif name in YAML:
        assert train in {*strings(yaml.safe_load(text))}
    else:
        values = {*shlex.split(text, comments=True)}
        named = {
            train,
            safe,
            f"file=@{json.dumps(train, ensure_ascii=False)}",
            f"{safe}/dataset_info.json",
        }
        assert named & values


@pytest.mark.parametrize(("name", "needs"), [("unsloth", "a GPU"), ("nova", "an acc")])
def test_a_recipe_that_is_not_run_says_what_it_needs(name: str, needs: str) -> None:
    assert recipe(name).startswith(f"# Not run: it needs {needs}")


@pytest.mark.parametrize("name", ["trl", "unsloth", "tinker"])
def test_the_lines_of_a_comment_stand_below_each_other(name: str) -> None:
    over = [f"train.jsonl line {n} (99,999)" for n in range(1, 4)]
    text = recipes.render(
        read_readers()[name],
        Path("files"),
        examples=9,
        valid_examples=0,
        lengths=LENGTHS._replace(over=over),
    ).splitlines()
    first = next(n for n, line in enumerate(text) if "The longest example" in line)
    indents = {len(line) - len(line.lstrip()) for line in text[first : first + 2]}
    assert len(indents) == 1
    assert text[first + 1].lstrip().startswith("# ")


@pytest.mark.parametrize(
    ("name", "model"),
    [("trl", recipes.MODEL), ("mlx", recipes.MODEL), ("openai", "MODEL")],
)
def test_only_a_trainer_has_a_model_of_its_own(name: str, model: str) -> None:
    text = recipes.render(
        RECIPES[name], Path("files"), examples=9, valid_examples=0, lengths=LENGTHS
    )
    assert model in text
