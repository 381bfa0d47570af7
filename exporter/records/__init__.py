"""Rows of (id, title, content) out of files, as PostgreSQL's COPY takes them."""

from collections.abc import Iterator
from pathlib import Path

from exporter.records.look import reader
from exporter.records.rows import (
    MAX_LINE_BYTES,
    Block,
    Columns,
    Form,
    Intake,
    Reject,
)
from exporter.records.source import opened

__all__ = [
    "MAX_LINE_BYTES",
    "Block",
    "Columns",
    "Form",
    "Intake",
    "Reject",
    "read_rows",
]


def read_rows(path: Path, columns: Columns, intake: Intake) -> Iterator[Block]:
    """Yield the rows of a file in blocks; "-" is standard input.

    What the file is, its first bytes say, not its name:
    JSON Lines (an object a line; other keys are passed over), one JSON array of
    objects, or CSV with a header and comma, semicolon, tab or bar between
    fields; plain or by gzip; UTF-8, or UTF-16 with its mark. Blank lines are
    passed over, and so is a header that comes again. An empty id is null; so
    is, in CSV, every empty field.

    `intake` is given each line that holds no row, and counts the lines.

    Raises:
        FinetuneError: The file cannot be read or is something else, or its
            header lacks a column; the text names the command that converts it.
    """
    with opened(path) as source:
        intake.found, before = [], intake.position
        for form, block in reader(source, columns)(source, columns, intake):
            intake.position = before + source.position()
            if block:
                yield form, block
