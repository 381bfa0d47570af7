"""Load the tables beside this file: rules.yml and harms.yml."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def table(name: str) -> dict[str, Any]:
    """Return a table, which is read once and shared."""
    text = Path(__file__).with_name(f"{name}.yml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loaded: dict[str, Any] = yaml.load(text, Loader=loader)  # noqa: S506
    return loaded


def any_of(name: str) -> str:
    """Return a list of harms.yml as one regular expression of alternatives."""
    return "|".join(table("harms")[name])
