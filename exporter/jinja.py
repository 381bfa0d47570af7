"""Jinja, with the settings that the recipes and the report share."""

from pathlib import Path

import jinja2


def environment(
    folder: Path | None = None, *, html: bool = False
) -> jinja2.Environment:
    """Return an environment, for the templates of a folder if one is given.

    An unknown variable is an error. A line of tags alone leaves no blank line.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder) if folder else None,
        autoescape=html,  # noqa: S701 (recipes are text)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
