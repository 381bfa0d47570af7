"""Recipes as text, for tests of what they say."""

from pathlib import Path

from exporter.readers import read_readers, recipes

RECIPES = {name: reader for name, reader in read_readers().items() if reader.recipe}
PYTHON = {"trl", "unsloth", "art", "tinker", "sagemaker"}
YAML = {"axolotl", "nemo"}
LENGTHS = recipes.Lengths(812, 1024, [], "", recipes.CONTEXT)


def recipe(name: str, folder: Path = Path("files"), valid: int = 50) -> str:
    return recipes.render(
        RECIPES[name],
        folder,
        examples=303,
        valid_examples=valid,
        model=recipes.MODEL,
        lengths=LENGTHS,
    )


def strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []
