"""What a file is, by its first bytes; what is no list of rows gets its remedy."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from exporter.file_types import SIGNATURE_BYTES, file_type
from exporter.records import exact_json
from exporter.records.csv_rows import csv_rows
from exporter.records.json_rows import array_rows, line_rows, refuse_long
from exporter.records.rows import MAX_LINE_BYTES, Block, Columns, Intake
from exporter.records.source import BLANK, HEAD_BYTES, Source

# What is no text (gzip is unpacked before), and the way to rows.
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
        "iconv -f {detail} -t UTF-8 {path} > NEW",
    ),
    "UTF-32": ("UTF-32", "iconv -f UTF-32 -t UTF-8 {path} > NEW"),
    "a dump of PostgreSQL": ("a dump of PostgreSQL", "pg_restore -d DATABASE {path}"),
    "binary": ("{detail}", "write its rows as CSV or JSON Lines"),
}
# How an array of JSON begins; a header may begin with a bracket, too.
_ARRAY = re.compile(rb'\[\s*(?:[\[{\]"\d-]|null|true|false)')
_WRAPPER = re.compile(rb'"((?:[^"\\]|\\.)+)"\s*:\s*\[\s*\{')
_JSON_NAME = re.compile(r"\.(jsonl?|ndjson)(\.gz)?$", re.IGNORECASE)


def reader(
    source: Source, columns: Columns
) -> Callable[[Source, Columns, Intake], Iterator[Block]]:
    """Return what reads the rows of a file.

    Raises:
        FinetuneError: It is not what can be read.
    """
    head = source.head()
    other = file_type(head[:SIGNATURE_BYTES])
    if other:
        what, remedy = _REMEDIES.get(other.detail) or _REMEDIES[other.rule]
        reason = f"{what}; {remedy}"
        raise source.error(reason.format(detail=other.detail, path=source.pasted))
    if head.startswith(b"--\n-- PostgreSQL database"):
        raise source.error(f"a dump of PostgreSQL; psql -f {source.pasted}")
    end_of_line = re.search(rb"\r*\n|\r(?=.)", head, re.DOTALL)
    if end_of_line and end_of_line[0] == b"\r":
        source.end_of_line = b"\r"
    text = head.lstrip(BLANK)
    if not text:
        long = len(head) > MAX_LINE_BYTES
        most = f"blank for {MAX_LINE_BYTES >> 20} MiB"
        raise source.error(f"the file is {most if long else 'empty'}")
    if _ARRAY.match(text):
        return array_rows
    if text[:1] == b"{":
        _refuse_one_document(source, text, columns)
        return line_rows
    later = source.end_of_line + b"{"
    return line_rows if _JSON_NAME.search(source.name) and later in text else csv_rows


def _refuse_columns(source: Source, items: dict[str, Any], wanted: list[str]) -> None:
    """Refuse rows by their keys, and columns in place of rows."""
    rows = [*items.values()]
    if rows and all(
        isinstance(row, exact_json.Object) and {*wanted} & {*dict(row)} for row in rows
    ):
        raise source.error(f"the rows stand under a key each; {source.jq('.[]')}")
    if {*wanted} <= items.keys():
        names = [json.dumps(name) for name in wanted]
        columns = ", ".join(f".[{name}]" for name in names)
        row = ", ".join(f"{name}: .[{place}]" for place, name in enumerate(names))
        change = f"[{columns}] | map([.[]]) | transpose[] | {{{row}}}"
        raise source.error(f"columns in place of rows; {source.jq(change)}")


def _refuse_one_document(source: Source, text: bytes, columns: Columns) -> None:
    """Refuse one JSON value over many lines, or rows below a key of it."""
    line, ended, rest = text.partition(source.end_of_line)
    seen = max(HEAD_BYTES, len(line) if len(line) <= MAX_LINE_BYTES else 0)
    head = text[:seen].decode(errors="replace")
    wanted = columns.wanted()
    try:
        refuse_long(line)
        value, end = exact_json.first(head)
        spread = source.end_of_line.decode() in head[:end]
    except ValueError:
        # Broken, or longer than what was seen, which is no fault of it.
        value = None
        followed = len(text) < HEAD_BYTES or rest[:1] in b"{"
        goes_on = line.rstrip().endswith((b"{", b"[", b","))
        spread = bool(ended) and (goes_on or not followed)
    items = dict(value) if isinstance(value, exact_json.Object) else {}
    if all(isinstance(item, list) for item in items.values()):
        _refuse_columns(source, items, wanted)
    steps = exact_json.path_to_objects(value)
    if steps and not items.keys() & {*wanted}:
        change = source.jq(f"{steps}[]")
        raise source.error(f"the rows stand under the key {steps}; {change}")
    wrapper = _WRAPPER.search(text, 0, HEAD_BYTES) if value is None else None
    before = text[: wrapper.start()].decode(errors="replace") if wrapper else ""
    if wrapper and not any(f'"{name}"' in before for name in wanted):
        key = wrapper[1].decode(errors="replace")
        change = source.jq(f'.. | objects | select(has("{columns.title}"))')
        raise source.error(f"the rows stand under a key, perhaps {key}; {change}")
    if spread:
        raise source.error(f"an object over several lines; {source.jq('.')}")
