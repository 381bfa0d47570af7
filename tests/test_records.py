"""Rows are read as they were meant."""

import csv
import gzip
import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.errors import FinetuneError
from tests.rows import (
    CASES,
    COLUMNS,
    GOOD,
    KNOTTY,
    MAYBE_TEXT,
    TEXT,
    Row,
    in_a_folder,
    rows_in,
)


def lamp(number: int) -> Row:
    return (str(number), "Desk lamp", f"A warm reading lamp number {number}.")


LAMPS = [lamp(number) for number in (1, 2, 3)]
READ: dict[str, list[Row]] = {
    "A1_space_before_quote.csv": [
        ("1", "Desk lamp", "A warm reading lamp"),
        ("2", "Desk lamp", "Another, with a brass arm"),
    ],
    "A1b_space_before_quote_no_comma.csv": [("1", "Desk lamp", "A warm reading lamp")],
    "A6_single_quotes.csv": [("1", "Desk lamp", "A warm reading lamp")],
    "C1_cr_only.csv": LAMPS,
    "D01_semicolon.csv": LAMPS,
    "D03_tab.tsv": LAMPS,
    "D04_UPPER.CSV": LAMPS,
    "D05_utf16.csv": LAMPS,
    "D09_array.json": [("1", "Desk lamp", "A warm reading lamp.")],
    "D16_blank_first_line.csv": LAMPS,
    "D20_nan_beside.jsonl": [("1", "Desk lamp", "A warm reading lamp.")],
    "D22_trailing_ctrl_z.csv": LAMPS,
    "E1_number_title.jsonl": [("1", "1984", "A novel about a watched city.")],
}


@pytest.mark.parametrize("name", READ)
def test_an_unusual_file_with_one_meaning_is_read_as_meant(name: str) -> None:
    rows, rejects, stats = rows_in(CASES / name)
    assert (rows, rejects) == (READ[name], [])
    assert stats.rows == len(rows)


MORE_READ: dict[str, tuple[bytes, list[Row]]] = {
    "a blank before some quotes": (
        b'uid,title,content\n1, lamp, "a, b"\n2, c,d\n',
        [("1", " lamp", "a, b"), ("2", " c", "d")],
    ),
    "an unused column twice": (
        b"uid,x,title,x,content\n1,,lamp,,bright\n",
        [("1", "lamp", "bright")],
    ),
    "joined files": (
        b"uid,title,content\n1,a,b\n\xef\xbb\xbfuid,title,content\n2,c,d\n",
        [("1", "a", "b"), ("2", "c", "d")],
    ),
    "a header again in capitals": (
        b'uid,title,content\n1,a,b\n"UID", Title ,CONTENT\n2,c,d\n',
        [("1", "a", "b"), ("2", "c", "d")],
    ),
    "gzip twice": (
        gzip.compress(gzip.compress(GOOD.encode())),
        [("1", "lamp", "bright")],
    ),
    "commas after objects, and record separators": (
        (
            b'\x1e{"uid":"1","title":"a","content":"b"},\n'
            b'\x1e{"uid":"2","title":"c","content":"d"},\n'
        ),
        [("1", "a", "b"), ("2", "c", "d")],
    ),
    "a bar and sep=": (b"sep=|\nuid|title|content\n1|a|b,c\n", [("1", "a", "b,c")]),
    "sep= with another separator below": (
        b"sep=;\nuid,title,content\n1,a,b\n",
        [("1", "a", "b")],
    ),
    "a separator that only the header shows": (
        b"uid^title^content\n1^a;b^c,d\n",
        [("1", "a;b", "c,d")],
    ),
    "the separator of Hive": (
        b"uid\x01title\x01content\n1\x01a\x01b\n",
        [("1", "a", "b")],
    ),
    "single quotes around the header, too": (
        b"'uid','title','content'\n'1','a','b, it''s'\n",
        [("1", "a", "b, it's")],
    ),
    "line ends of which one half was written twice": (
        b"uid,title,content\r\r\n1,a,b\r\r\n2,c,d\r\r\n",
        [("1", "a", "b"), ("2", "c", "d")],
    ),
    "two marks, and invisible characters in the header": (
        "\ufeff\ufeffuid,\u200btitle\u00a0,content\n1,a,b\n".encode(),
        [("1", "a", "b")],
    ),
    "keys in another order on each line, escaped": (
        (
            b'{"uid":"1","title":"a","content":"b"}\n'
            rb'{"content":"\u00e9\\\n","title":"\t","uid":2}' + b"\n"
            rb'{"title":"c","uid":null,"content":"\ud83d\udd26"}'
        ),
        [("1", "a", "b"), ("2", "\t", "\u00e9\\\n"), (None, "c", "\U0001f526")],
    ),
    "a key twice below another one": (
        b'{"uid":"1","more":{"x":1,"x":2},"title":"a","content":"b"}\n',
        [("1", "a", "b")],
    ),
    "inches": (b'uid,title,content\n1,24" lamp,b\n', [("1", '24" lamp', "b")]),
    "CR alone before JSON": (
        b'{"uid":1,"title":"a","content":"b"}\r{"uid":2,"title":"c","content":""}\r',
        [("1", "a", "b"), ("2", "c", "")],
    ),
    "line ends kept within quotes": (
        b'title,uid,content\r\na,1,"b\r\nc"\r\n',
        [("1", "a", "b\r\nc")],
    ),
    "numbers past 64 bits, and an id that is empty": (
        (
            b'{"uid":123456789012345678901234567890,"title":-0,"content":1}\n{"uid":"",'
            b'"title":"a","content":null}\n'
        ),
        [("123456789012345678901234567890", "0", "1"), (None, "a", None)],
    ),
    "an array over lines": (
        (
            b'[\n {"uid":1,"title":"a","content":"b"},\n {"uid":null,"title":"c",'
            b'"content":"d", "x": [1, {"title": 2}]}\n]\n'
        ),
        [("1", "a", "b"), (None, "c", "d")],
    ),
    "an id with quotes": (
        rb'{"uid":"a\"b","title":"t","content":"c"}',
        [('a"b', "t", "c")],
    ),
    "1e400 beside": (
        b'{"x":1e400,"uid":"1","title":"a","content":"b"}\n',
        [("1", "a", "b")],
    ),
    "a nested key of the same name": (
        b'{"uid":"1","more":{"title":"x"},"title":"a","content":"b"}\n',
        [("1", "a", "b")],
    ),
}


@pytest.mark.parametrize("name", MORE_READ)
def test_other_unusual_files_are_read_as_meant(name: str, tmp_path: Path) -> None:
    content, expected = MORE_READ[name]
    path = tmp_path / "rows"
    path.write_bytes(content)
    assert rows_in(path)[:2] == (expected, [])


@in_a_folder
@given(
    rows=st.lists(st.tuples(MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT), min_size=1),
    ascii_only=st.booleans(),
    as_array=st.booleans(),
)
def test_json_comes_back_as_it_was_with_null_for_an_empty_id(
    tmp_path: Path, rows: list[Row], ascii_only: bool, as_array: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    values = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    if as_array:
        text = json.dumps(values, ensure_ascii=ascii_only, indent=1)
    else:
        text = "".join(json.dumps(v, ensure_ascii=ascii_only) + "\n" for v in values)
    path.write_bytes(text.encode())
    assert rows_in(path)[:2] == ([(uid or None, *rest) for uid, *rest in rows], [])


@in_a_folder
@given(
    rows=st.lists(
        st.tuples(*[st.one_of(TEXT, KNOTTY)] * 3).filter(lambda row: row != COLUMNS),
        min_size=1,
    ),
    separator=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@example(rows=[("0", "'", "'")], separator=",", quoting=csv.QUOTE_ALL, encoding="utf-8")
def test_csv_comes_back_as_it_was_with_null_for_empty(
    tmp_path: Path,
    rows: list[tuple[str, ...]],
    separator: str,
    quoting: Literal[0, 1, 2],
    encoding: str,
) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=separator, quoting=quoting)
        writer.writerows([COLUMNS, *rows])
    assert rows_in(path)[:2] == ([tuple(f or None for f in row) for row in rows], [])


@in_a_folder
@given(
    data=st.binary(max_size=300), start=st.sampled_from([b"uid,title,content\n", b""])
)
def test_no_bytes_crash_the_reader(tmp_path: Path, data: bytes, start: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(start + data)
    try:
        rows, rejects, stats = rows_in(path)
    except FinetuneError:
        return
    assert all("\0" not in (text or "") for row in rows for text in row)
    assert all(reject.line >= 1 for reject in rejects)
    assert stats.rows == len(rows)


def test_a_multiline_text_is_not_an_open_quote(tmp_path: Path) -> None:
    texts = [
        "colours: red, green, blue\nsizes: S, M, L\nwood, glass, metal\nand, so, on\n",
        "\n\n,\n",
        'he said "a, b, c"\n',
    ]
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [COLUMNS, *((n, "t", t) for n, t in enumerate(texts))]
        )
        file.write("3,a field too few\n")
    rows, [reject], _ = rows_in(path)
    assert [row[2] for row in rows] == texts
    assert reject.reason == "2 fields, but the header has 3"
