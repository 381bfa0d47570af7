"""Rows of (id, title, content) from files, in a format that PostgreSQL's COPY reads."""

from collections.abc import Iterator
from pathlib import Path

from exporter.records.input_file import open_input
from exporter.records.rows import (
    MAX_LINE_BYTES,
    Block,
    Columns,
    CopyFormat,
    LoadStats,
    Reject,
)
from exporter.records.sniff import sniff

__all__ = [
    "MAX_LINE_BYTES",
    "Block",
    "Columns",
    "CopyFormat",
    "LoadStats",
    "Reject",
    "read_rows",
]


def read_rows(path: Path, columns: Columns, stats: LoadStats) -> Iterator[Block]:
    """Yield the rows of a file in blocks; "-" is standard input.

    The first bytes of the file decide its format, not its name: JSON Lines (an object
    a line), one JSON array of objects, or CSV with a header and comma, semicolon, tab
    or bar between fields; plain or compressed by gzip; UTF-8, or UTF-16 with its mark.
    Other keys and columns, blank lines and repeated headers are skipped. An empty id
    is null; in CSV, so is every empty field.

    Counts the lines in `stats`, and rejects those without a usable row there.

    Raises:
        FinetuneError: The file cannot be read or has another format, or its header
            lacks a column; the text names the command that converts it.
    """
    with open_input(path) as file:
        before = stats.bytes_read
        for copy_format, block in sniff(file, columns)(file, columns, stats):
            stats.bytes_read = before + file.tell()
            if block:
                yield copy_format, block
