"""The first 256 KiB decide the format of a file; a longer first row is still read."""

import gzip
import json
from pathlib import Path

import pytest

from exporter.errors import FinetuneError
from tests.rows import (
    COLUMNS,
    GOOD,
    rows_in,
)


def _files_of(text: str) -> dict[str, str]:
    """Return files with a first row of this text and a second one."""
    rows = [("1", "lamp", text), ("2", "lamp", "ok")]
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    turned = [dict(reversed(row.items())) for row in named]
    beside = [
        {"images": [{"alt": text}], **row, "content": row["content"][:50]}
        for row in named
    ]
    csv_header, turned_header = ",".join(COLUMNS), ",".join(reversed(COLUMNS))
    fields = [[f'"{field}"' for field in row] for row in rows]
    return {
        "lines.jsonl": "\n".join(map(json.dumps, named)),
        "content-first.jsonl": "\n".join(map(json.dumps, turned)),
        "list-first.jsonl": "\n".join(map(json.dumps, beside)),
        "crlf.jsonl": "\r\n".join(map(json.dumps, named)),
        "cr.jsonl": "\r".join(map(json.dumps, named)),
        "array.json": json.dumps(named),
        "rows.csv": "\n".join([csv_header, *map(",".join, fields)]),
        "content-first.csv": "\r\n".join(
            [turned_header, *(",".join(reversed(row)) for row in fields)]
        ),
        "single-quoted.csv": "\n".join(
            [csv_header, *(",".join(row).replace('"', "'") for row in fields)]
        ),
    }


@pytest.mark.parametrize("megabytes", [1, 8])
@pytest.mark.parametrize("name", _files_of(""))
def test_a_first_row_longer_than_the_head_is_read(
    tmp_path: Path, name: str, megabytes: int
) -> None:
    long = "A warm lamp, {of} brass. " * (megabytes * 1024 * 1024 // 25)
    text = _files_of(long)[name]
    packed = gzip.compress(text.encode(), 1)
    forms = {"": text.encode(), "utf16-": text.encode("utf-16"), "gzip-": packed}
    for form, data in forms.items() if megabytes == 1 else [("", text.encode())]:
        path = tmp_path / (form + name)
        path.write_bytes(data)
        rows, rejects, _ = rows_in(path)
        assert not rejects
        assert [(uid, title) for uid, title, _ in rows] == [
            ("1", "lamp"),
            ("2", "lamp"),
        ]
        assert rows[0][2] == (long[:50] if "list" in name else long)
        assert rows[1][2] == "ok"


def test_a_first_line_that_is_too_long_costs_only_itself(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(_files_of("a," * (9 << 20))["lines.jsonl"])
    rows, [reject], _ = rows_in(path)
    assert rows == [("2", "lamp", "ok")]
    assert str(reject).endswith("rows.jsonl:1: longer than 16 MiB")


def test_a_broken_first_line_of_a_large_file_costs_its_own_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"uid": "1", "title": "lamp", "con\n' + GOOD * 9_000)
    rows, [reject], _ = rows_in(path)
    assert (len(rows), reject.line) == (9_000, 1)


def test_a_first_row_without_a_column_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    variants = {"uid": "1", "title": "lamp", "variants": [json.loads(GOOD)]}
    path.write_text(json.dumps(variants) + "\n" + 2 * GOOD)
    rows, [reject], _ = rows_in(path)
    assert (len(rows), reject.line) == (2, 1)


def test_a_document_longer_than_the_head_is_refused_with_its_remedy(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"meta": "a" * 300_000, "data": [json.loads(GOOD)]}))
    with pytest.raises(FinetuneError, match=r"the rows are under the key \.data"):
        rows_in(path)
    path.write_text(json.dumps(json.loads(GOOD) | {"content": "a" * 300_000}, indent=1))
    with pytest.raises(FinetuneError, match="an object over several lines"):
        rows_in(path)
    path.write_text("\n" * 300_000 + GOOD)
    assert rows_in(path)[0] == [("1", "lamp", "bright")]
