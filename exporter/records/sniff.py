"""Which format a file has, by its first bytes; other formats get their remedy."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from exporter.file_types import SIGNATURE_BYTES, file_type
from exporter.records import exact_json
from exporter.records.csv_rows import csv_rows
from exporter.records.input_file import BLANK, HEAD_BYTES, InputFile
from exporter.records.json_rows import array_rows, line_rows, refuse_oversized
from exporter.records.rows import MAX_LINE_BYTES, Block, Columns, LoadStats

# Formats other than text, and how to get rows from them; gzip is decompressed before.
_REMEDIES = {
    "parquet": (
        "a Parquet file",
        (
            'pip install duckdb; python3 -c "import duckdb, sys; f = sys.argv[1]; '
            "duckdb.read_parquet(f).write_csv(f + '.csv')\" {path}"
        ),
    ),
    "lfs-pointer": ("a Git LFS pointer, not the file", "git lfs pull"),
    "seven-zip": ("a 7-Zip archive", "7z x {path}"),
    "tar": ("a tar archive", "tar -xf {path}"),
    "archive": ("compressed by {detail}", "{detail} -dc {path} | finetune load -"),
    "zip": ("a zip archive", "unzip {path}"),
    "an Office file": ("an Excel file", "save it as CSV UTF-8"),
    "xlsx": ("an old Excel file", "save it as CSV UTF-8"),
    "page": ("an HTML or XML page, not rows", "download the file itself"),
    "utf-16": (
        "{detail} without a byte order mark",
        "iconv -f {detail} -t UTF-8",
    ),
    "UTF-32": ("UTF-32", "iconv -f UTF-32 -t UTF-8"),
    "a dump of PostgreSQL": ("a dump of PostgreSQL", "pg_restore -d DATABASE {path}"),
    "binary": ("{detail}, not text", "write its rows as CSV or JSON Lines"),
}
# How a JSON array begins; a CSV header may begin with a bracket, too.
_ARRAY = re.compile(rb'\[\s*(?:[\[{\]"\d-]|null|true|false)')
# A key whose value is a list of objects.
_WRAPPER = re.compile(rb'"((?:[^"\\]|\\.)+)"\s*:\s*\[\s*\{')
_JSON_NAME = re.compile(r"\.(jsonl?|ndjson)(\.gz)?$", re.IGNORECASE)


def sniff(
    file: InputFile, columns: Columns
) -> Callable[[InputFile, Columns, LoadStats], Iterator[Block]]:
    """Return the function that reads the rows of a file.

    Raises:
        FinetuneError: The file has another format.
    """
    head = file.peek()
    found = file_type(head[:SIGNATURE_BYTES])
    if found:
        what, remedy = _REMEDIES.get(found.detail) or _REMEDIES[found.rule]
        if remedy.startswith("iconv"):
            remedy = file.convert(remedy)
        reason = f"{what}; {remedy}"
        raise file.error(reason.format(detail=found.detail, path=file.quoted))
    if head.startswith(b"--\n-- PostgreSQL database"):
        raise file.error(f"a dump of PostgreSQL; psql -f {file.quoted}")
    end_of_line = re.search(rb"\r*\n|\r(?=.)", head, re.DOTALL)
    if end_of_line and end_of_line[0] == b"\r":
        file.end_of_line = b"\r"
    text = head.lstrip(BLANK)
    if not text:
        blank = f"blank for {MAX_LINE_BYTES >> 20} MiB"
        too_long = len(head) > MAX_LINE_BYTES
        raise file.error(f"the file is {blank if too_long else 'empty'}")
    if _ARRAY.match(text):
        return array_rows
    if text[:1] == b"{":
        _refuse_one_document(file, text, columns)
        return line_rows
    # JSON Lines with a bad first line.
    object_later = file.end_of_line + b"{" in text
    return line_rows if _JSON_NAME.search(file.name) and object_later else csv_rows


def _refuse_one_document(file: InputFile, text: bytes, columns: Columns) -> None:
    """Refuse one JSON document in place of an object a line."""
    wanted = {*columns.names()}
    value, multiline, alone = _decode_first(file, text)
    items = dict(value) if isinstance(value, exact_json.Object) else {}
    if all(isinstance(item, list) for item in items.values()):
        _refuse_nested_rows(file, items, columns)
    if items and not wanted <= items.keys():
        _refuse_rows_below(file, value, columns, alone=alone)
    # Guess the key if the document is too long to be decoded.
    wrapper = _WRAPPER.search(text, 0, HEAD_BYTES) if value is None else None
    before = text[: wrapper.start()].decode(errors="replace") if wrapper else ""
    if wrapper and not any(f'"{name}"' in before for name in wanted):
        key = wrapper[1].decode(errors="replace")
        change = file.jq(_objects(columns))
        raise file.error(f"the rows are under a key, perhaps {key}; {change}")
    if multiline:
        raise file.error(f"an object over several lines; {file.jq('.')}")


def _refuse_rows_below(
    file: InputFile, value: object, columns: Columns, *, alone: bool
) -> None:
    """Refuse an object whose rows are objects below it."""
    (_, outer), *below = exact_json.objects_in(value)
    wanted = {*columns.names()}
    rows = [path for path, item in below if wanted <= item.keys()]
    if alone and not rows and not wanted & outer.keys():
        # Rows whose columns have other names.
        rows = [path for path, _ in below if path.endswith("[]")][:1]
    # Else it is a row that lacks a column, above other rows.
    if rows and (alone or not wanted & outer.keys()):
        program = rows[0] if len(rows) == 1 else _objects(columns)
        keys = ", ".join(path.removesuffix("[]") for path in rows)
        raise file.error(f"the rows are under the key {keys}; {file.jq(program)}")


def _objects(columns: Columns) -> str:
    """Return jq's program for all objects with a title, however deep they are."""
    return f".. | objects | select(has({json.dumps(columns.title)}))"


def _decode_first(file: InputFile, text: bytes) -> tuple[object, bool, bool]:
    """Return the first value of a text, whether it spans several lines, or is alone.

    If it is broken, or longer than the head, the value is None and the rest a guess.
    """
    line, line_end, rest = text.partition(file.end_of_line)
    size = max(HEAD_BYTES, len(line) if len(line) <= MAX_LINE_BYTES else 0)
    head = text[:size].decode(errors="replace")
    try:
        refuse_oversized(line)
        value, end = exact_json.raw_decode(head)
    except ValueError:
        unfinished = line.rstrip().endswith((b"{", b"[", b","))
        object_follows = len(text) < HEAD_BYTES or rest[:1] in b"{"
        return None, bool(line_end) and (unfinished or not object_follows), False
    return value, file.end_of_line.decode() in head[:end], not head[end:].strip()


def _refuse_nested_rows(
    file: InputFile, items: dict[str, Any], columns: Columns
) -> None:
    """Refuse an object whose values are rows, or whole columns."""
    rows, wanted = [*items.values()], columns.names()
    if rows and all(
        isinstance(row, exact_json.Object) and {*wanted} & {*dict(row)} for row in rows
    ):
        raise file.error(f"each row is under a key of its own; {file.jq('.[]')}")
    if {*wanted} <= items.keys():
        names = [json.dumps(name) for name in wanted]
        lists = ", ".join(f".[{name}]" for name in names)
        row = ", ".join(f"{name}: .[{index}]" for index, name in enumerate(names))
        change = f"[{lists}] | map([.[]]) | transpose[] | {{{row}}}"
        raise file.error(f"columns in place of rows; {file.jq(change)}")
