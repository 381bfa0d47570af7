"""Print the documents' tables of readers, help texts and make targets.

`make tables` writes them; tests/test_documents.py compares them.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from exporter.cli import cli
from exporter.readers import Reader, read_readers

_REPOSITORY = Path(__file__).parents[1]
DOCS = _REPOSITORY / "docs"
_MARK = re.compile(
    r"(<!-- (?:readers|printed): (\w+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def limits() -> str:
    """Return the table of readers, with limits and sources."""
    rows = ["reader | kind | rows' form | limits | source, read", "--- | " * 4 + "---"]
    for reader in read_readers().values():
        stated = ", ".join(f"{k} {v:,}" for k, v in reader.limits.items())
        rows.append(
            f"`{reader.name}`: {reader.title} | {reader.kind} | {reader.dialect} | "
            f"{stated} | {_sources(reader)}"
        )
    return _table(rows)


def dates() -> str:
    """Return the table of closing dates of providers and models."""
    rows = ["provider | date | what", "--- | --- | ---"]
    for reader in read_readers().values():
        for closing in reader.closings:
            rows.append(f"{reader.title} | {closing.date} | {closing.what}")
        for model, end in reader.models.items():
            rows.append(f"{reader.title} | {end} | `{model}` and its fine-tunes end")
    return _table(rows)


def helps() -> str:
    """Return the help of every command at 80 columns."""
    return "\n".join(
        f"## {name}\n\n```console\n$ {name} --help\n{text}\n```\n"
        for name, text in _helps("finetune", cli, None)
    )


def _helps(
    name: str, command: click.Command, parent: click.Context | None
) -> Iterator[tuple[str, str]]:
    context = click.Context(
        command,
        parent,
        name.rpartition(" ")[2],
        terminal_width=78,
        **command.context_settings,
    )
    yield name, command.get_help(context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _helps(f"{name} {inner}", found, context)


def targets() -> str:
    """Return the targets of the Makefile."""
    makefile = (_REPOSITORY / "Makefile").read_text(encoding="utf-8")
    found = re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, flags=re.MULTILINE)
    rows = [f"`make {name}` | {text}" for name, text in found]
    return _table(["make | does", "--- | ---", *rows])


def _sources(reader: Reader) -> str:
    return "; ".join(f"{s.what}, {s.read}" for s in reader.sources)


def _table(rows: list[str]) -> str:
    return "".join(f"| {row} |\n" for row in rows)


def printed(text: str) -> str:
    """Return a document with current tables."""
    tables = {"limits": limits, "dates": dates, "helps": helps, "targets": targets}
    return _MARK.sub(lambda mark: f"{mark[1]}{tables[mark[2]]()}{mark[3]}", text)


if __name__ == "__main__":
    for path in DOCS.glob("*.md"):
        path.write_text(printed(path.read_text(encoding="utf-8")), encoding="utf-8")
