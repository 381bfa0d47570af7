"""The rows of a file, as `finetune load` sends them, and of every data set here."""

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from exporter.records import Block, Columns, CopyFormat, LoadStats, Reject, read_rows
from tests import oracle
from tests.workspace import REPOSITORY, SHARED_DATA

SAMPLE = REPOSITORY / "examples" / "products.csv"
DATA_SETS = [SAMPLE, *sorted(SHARED_DATA.glob("*.jsonl.gz"))]
LARGE = [path for path in DATA_SETS if path.name.startswith(("cldr", "wordnet"))]
CASES = REPOSITORY / "tests/cases"
COLUMNS = ("uid", "title", "content")
GOOD = '{"uid": "1", "title": "lamp", "content": "bright"}\n'


in_a_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)
# Short texts that a reader may mistake for syntax.
KNOTTY = st.text(st.sampled_from("ab \",;\t|\r\n\x1f'é"), max_size=8)
MAYBE_TEXT = st.one_of(st.none(), TEXT)

Row = tuple[str | None, ...]
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def rows_of(blocks: Iterable[Block], columns: Columns) -> list[Row]:
    """Return the rows that PostgreSQL would read in blocks."""
    rows = []
    for copy_format, group in groupby(blocks, itemgetter(0)):
        text = b"".join(block for _, block in group).decode()
        read = (
            _rows_of_csv(text, copy_format)
            if copy_format.separator
            else _rows_of_text(text)
        )
        places = [copy_format.columns.index(name) for name in columns.names()]
        rows += [tuple(row[place] for place in places) for row in read]
    return rows


def _rows_of_text(text: str) -> list[Row]:
    def value(field: str) -> str | None:
        if field == r"\N":
            return None
        return re.sub(
            r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), field, flags=re.DOTALL
        )

    assert text.endswith("\n")
    return [tuple(map(value, row.split("\t"))) for row in text[:-1].split("\n")]


def _rows_of_csv(text: str, copy_format: CopyFormat) -> list[Row]:
    end = re.escape(copy_format.row_end)
    plain = rf'[^"\r\n{re.escape(copy_format.separator)}]*'
    field = re.compile(
        f'(?:"((?:[^"]|"")*)"|({plain}))({re.escape(copy_format.separator)}|{end})'
    )
    rows: list[Row] = []
    row: list[str | None] = []
    place = 0
    while place < len(text):
        match = field.match(text, place)
        assert match, text[place:]
        quoted, bare, ended = match.groups()
        row.append((bare if quoted is None else quoted.replace('""', '"')) or None)
        if ended == copy_format.row_end:
            rows.append(tuple(row))
            row = []
        place = match.end()
    assert not row
    return rows


def rows_in(path: Path) -> tuple[list[Row], list[Reject], LoadStats]:
    """Read a file of rows; return them, the rejects, and the counts."""
    rejects: list[Reject] = []
    stats = LoadStats(rejects.append)
    columns = Columns("uid", "title", "content")
    return rows_of(read_rows(path, columns, stats), columns), rejects, stats


def read(path: Path) -> list[oracle.Row]:
    """Return the rows of a data set, read only with Python's library."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [
                (row["uid"] or None, row["title"] or None, row["content"] or None)
                for row in csv.DictReader(file)
            ]
    with gzip.open(path, "rt") as file:
        lines = [json.loads(line) for line in file]
    return [(line["uid"], line["title"], line["content"]) for line in lines]


def pairs(source: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the first distinct pairs of a file that are not blank."""
    seen: set[tuple[str, str]] = set()
    for _, title, content in rows_in(source)[0]:
        pair = ((title or "").strip(), (content or "").strip())
        if all(pair) and pair not in seen and len(seen) < 5_000:
            seen.add(pair)
            yield len(seen), *pair


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """Run a test on each data set; on the two largest in `make test-slow`."""
    return pytest.mark.parametrize(
        "path",
        [
            pytest.param(path, marks=[pytest.mark.slow] if path in LARGE else [])
            for path in paths
        ],
        ids=lambda path: path.stem.split(".")[0],
    )
