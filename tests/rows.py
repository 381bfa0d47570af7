"""Rows: of a file, as `finetune load` would send them, and of every data set here."""

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from exporter.records import Columns, Intake, Reject, read_rows
from tests import oracle
from tests.conftest import REPOSITORY, SHARED_DATA

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
# Short texts of what may be taken for something else.
KNOTTY = st.text(st.sampled_from("ab \",;\t|\r\n\x1f'é"), max_size=8)
MAYBE_TEXT = st.one_of(st.none(), TEXT)

Row = tuple[str | None, ...]
_FIELD = re.compile('(?:"((?:[^"]|"")*)"|([^\x1f\n]*))([\x1f\n])')


def rows_of(blocks: Iterable[bytes]) -> list[Row]:
    """Return the rows that PostgreSQL would read in blocks of CSV."""
    rows, row = [], []
    for match in _FIELD.finditer(b"".join(blocks).decode()):
        quoted, bare, end = match.groups()
        row.append(bare or None if quoted is None else quoted.replace('""', '"'))
        if end == "\n":
            rows.append(tuple(row))
            row = []
    assert not row
    return rows


def rows_in(path: Path) -> tuple[list[Row], list[Reject], Intake]:
    """Read a file of rows; return them, what was set aside, and the counts."""
    rejects: list[Reject] = []
    intake = Intake(rejects.append)
    columns = Columns("uid", "title", "content")
    return rows_of(read_rows(path, columns, intake)), rejects, intake


def read(path: Path) -> list[oracle.Row]:
    """Return the rows of a data set, read by Python alone."""
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
