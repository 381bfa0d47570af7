"""The report on an export: the page report.html and the card README.md."""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from exporter import jinja, manifest
from exporter.checking.rules import read_rules
from exporter.diff import compare
from exporter.display import counted
from exporter.errors import FinetuneError
from exporter.files import drafts, publish
from exporter.report.context import (
    Options,
    around_difference,
    character_name,
    context,
)
from exporter.report.profiling import Profile
from exporter.report.texts import as_code, as_html, ending, opening, redacted

PAGE, CARD = "report.html", "README.md"
_MARK = "Written by finetune report, which replaces it as long as this line is here"

_SIDES = {"train": manifest.TRAINING, "validation": manifest.VALIDATION}

Samples = dict[str, list[dict[str, Any]]]


def write(
    folder: Path,
    options: Options,
    *,
    samples: Callable[[dict[str, Any]], Samples | str],
    since: Path | None = None,
    documentation: Path | None = None,
) -> list[Path]:
    """Write the page and the card of the export in the folder; return their paths.

    `samples` returns the dropped rows of each rule for a manifest, or a sentence why
    there are none. A README.md that `finetune report` did not write stays as it is.
    The page links `documentation`, if it is a file.

    Raises:
        FinetuneError: The folder contains no export, or its files have changed.
    """
    manifest.read(folder, complete=True)
    names = [PAGE] if _is_foreign(folder / CARD) else [PAGE, CARD]
    with drafts(folder, *names) as opened:
        manifest.verify(folder)
        # Not before the folder is locked: an export may have replaced it.
        doc = manifest.read(folder, complete=True).document
        _refuse_other_version(folder, doc)
        paths = [folder / n for n in _SIDES.values() if n in doc["files"]]
        profile = Profile(paths, read_rules(dialect=doc["dialect"]))
        variables = context(doc, profile, options)
        variables["samples"] = samples(doc)
        variables["changed"] = compare(since, folder) if since else None
        if documentation and documentation.is_file():
            variables["documentation"] = quote(os.path.relpath(documentation, folder))
        for draft, text in zip(opened, _render(variables), strict=False):
            draft.write_line(text.encode())
            draft.finish()
        publish(*opened)
    return [draft.path for draft in opened]


def _refuse_other_version(folder: Path, doc: dict[str, Any]) -> None:
    """Refuse a manifest that lacks keys or contradicts the lines of its files."""
    lines = {name: facts["lines"] for name, facts in doc["files"].items()}
    valid = doc.keys() >= manifest.KEYS and all(
        doc["splits"][side]["pairs"] == lines.get(name, 0)
        for side, name in _SIDES.items()
    )
    if not (
        valid and lines.get(manifest.TRAINING) and doc["splits"]["train"]["titles"]
    ):
        raise FinetuneError(
            f"{folder}: its manifest is of another version; run finetune export again"
        )


def _is_foreign(path: Path) -> bool:
    """Return whether a card exists that finetune report did not write."""
    try:
        # What is no file is refused as the target; a pipe would wait for its writer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return _MARK.encode() not in file.read(4096)
    except OSError as error:
        raise FinetuneError(
            f"{path}: cannot be read: {error.strerror}; fix its rights, or remove it"
        ) from error


def _render(variables: dict[str, Any]) -> tuple[str, str]:
    """Return the page and the card."""
    environment = jinja.environment(Path(__file__).parent, html=True)
    environment.filters |= {
        "html": as_html,
        "redacted": redacted,
        "code": as_code,
        "character": character_name,
        "n": "{:,}".format,
        "counted": counted,
        "opening": opening,
        "ending": ending,
        "shell": shlex.quote,
        "string_json": lambda value: json.dumps(value, ensure_ascii=False),
    }
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    digest = hashlib.sha256(style.encode()).digest()
    variables |= {
        "around_difference": around_difference,
        "mark": _MARK,
        "style": Markup(style),  # noqa: S704 (a file of this package)
        "style_hash": base64.b64encode(digest).decode(),
    }
    page, card = map(environment.get_template, ("page.html", "card.md"))
    return page.render(variables), card.render(variables)
