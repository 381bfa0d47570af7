"""A damaged line in a file of rows is reported, and costs no other row."""

import csv
import io
import json
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter import records
from exporter.errors import FinetuneError
from tests.rows import (
    CASES,
    COLUMNS,
    GOOD,
    MAYBE_TEXT,
    TEXT,
    Row,
    in_a_folder,
    rows_in,
)


def test_an_open_quote_costs_its_own_line() -> None:
    rows, [reject], stats = rows_in(CASES / "B1_open_quote.csv")
    assert [row[0] for row in rows] == [str(n) for n in (1, *range(3, 40))]
    assert str(reject).endswith("B1_open_quote.csv:3: not CSV: a quote is never closed")
    assert (stats.row_lines, stats.rejected_lines, stats.skipped_lines) == (38, 1, 1)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_open_quote_in_the_last_row_costs_no_other_row(
    tmp_path: Path, end: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f'uid,title,content\n1,a,b\n2,lamp,"bright{end}', newline="")
    rows, [reject], stats = rows_in(path)
    assert (rows, reject.line) == ([("1", "a", "b")], 3)
    assert (stats.row_lines, stats.rejected_lines, stats.skipped_lines) == (1, 1, 1)


def test_an_open_quote_that_another_field_closes_costs_its_own_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('uid,title,content\n"0,,\n1,,\n2,",0",\n3,,\n')
    rows, [reject], stats = rows_in(path)
    assert [row[:2] for row in rows] == [("1", None), ("2", ",0"), ("3", None)]
    assert (reject.line, stats.lines) == (2, 5)


@pytest.mark.parametrize("closing", ["", '24" wide', 'wide 12"', '"well quoted"'])
def test_a_quote_that_is_closed_far_below_costs_its_own_line(
    tmp_path: Path, closing: str
) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{number},Desk lamp,A lamp of brass\n" for number in range(1, 60_001)]
    lines[10] = '11,Desk lamp,"A lamp with an open quote\n'
    lines[40_000] = f"40001,Desk lamp,{closing}\n"
    path.write_text("uid,title,content\n" + "".join(lines))
    rows, [reject], stats = rows_in(path)
    assert (len(rows), reject.line, stats.lines) == (59_999, 12, 60_001)
    assert rows[39_999][2] == (
        closing.removeprefix('"').removesuffix('"') or None
        if closing[:1] == '"'
        else closing or None
    )


@in_a_folder
@given(data=st.data())
def test_a_damaged_line_of_csv_costs_no_other_row(
    tmp_path: Path, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=4, max_size=30))
    # Each on one line, with an id, so that rows and lines are one.
    rows = [
        (str(number), " ".join(title.split()), " ".join(text.split()))
        for number, (_, title, text) in enumerate(rows)
    ]
    output = io.StringIO()
    csv.writer(output, lineterminator="\n").writerows([COLUMNS, *rows])
    lines = [line + "\n" for line in output.getvalue().split("\n")[:-1]]
    hurt = data.draw(st.integers(1, len(rows)))
    cut = data.draw(st.integers(0, len(lines[hurt]) - 1))
    lines[hurt] = (
        lines[hurt][:cut] + data.draw(st.sampled_from('",\0')) + lines[hurt][cut:]
    )
    path = tmp_path / "rows.csv"
    path.write_text("".join(lines), newline="\n")
    read, rejects, stats = rows_in(path)
    others = [tuple(f or None for f in row) for row in rows]
    del others[hurt - 1]
    assert [row for row in others if row not in read] == []
    assert stats.lines == len(lines)
    assert stats.rejected_lines == len(rejects) <= 1


@in_a_folder
@given(data=st.data(), ascii_only=st.booleans())
def test_a_damaged_line_of_json_costs_no_other_row(
    tmp_path: Path, data: st.DataObject, ascii_only: bool
) -> None:
    texts = data.draw(st.lists(st.tuples(TEXT, MAYBE_TEXT), min_size=2, max_size=20))
    rows: list[Row] = [(str(number), *text) for number, text in enumerate(texts)]
    lines = [
        json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=ascii_only)
        for row in rows
    ]
    hurt = data.draw(st.integers(0, len(rows) - 1))
    line = lines[hurt].encode()
    cut = data.draw(st.integers(0, len(line)))
    junk = data.draw(st.sampled_from([b'"', b"{", b"}", b",", b"\\", b"\0", b"\xff"]))
    rest = data.draw(st.sampled_from([line[cut:], line[cut + 1 :], b""]))
    raw = [text.encode() for text in lines]
    raw[hurt] = line[:cut] + junk + rest
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join([*raw, b""]))
    try:
        read, rejects, stats = rows_in(path)
    except FinetuneError:
        return  # Nothing is loaded: the first line decides the format.
    others = [row for row in rows if row != rows[hurt]]
    assert [row for row in others if row not in read] == []
    assert len(rejects) == stats.rejected_lines <= 1
    assert (stats.lines, stats.rows) == (len(lines), len(read))


VALUES = st.one_of(st.sampled_from(["a", "", "b\\c", 'q"r', "ü"]), st.integers(-20, 20))


@in_a_folder
@given(
    values=st.tuples(VALUES, VALUES, VALUES),
    ascii_only=st.booleans(),
    damage=st.lists(
        st.tuples(
            st.integers(0, 60), st.sampled_from('"\\:{}[]0159.-e '), st.booleans()
        ),
        max_size=2,
    ),
)
@example(values=(1, "a", "b"), ascii_only=True, damage=[(9, '"', False)])
def test_a_line_is_a_row_exactly_if_json_accepts_it(
    tmp_path: Path,
    values: tuple[str | int, ...],
    ascii_only: bool,
    damage: list[tuple[int, str, bool]],
) -> None:
    row = dict(zip(COLUMNS, values, strict=True))
    line = json.dumps(row, ensure_ascii=ascii_only)
    for place, junk, instead in damage:
        line = line[:place] + junk + line[place + instead :]
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{GOOD}{line}\n", encoding="utf-8")
    read, _, _ = rows_in(path)
    try:
        digits = {"-0": "0"}
        found = json.loads(
            line, parse_int=lambda d: digits.get(d, d), object_pairs_hook=list
        )
        assert [key for key, _ in found if key in COLUMNS] == [*COLUMNS]
        uid, title, content = (value for key, value in found if key in COLUMNS)
        assert isinstance(title + content + (uid or ""), str)
    except (ValueError, TypeError, AssertionError):
        assert len(read) == 1
    else:
        assert read[1:] == [(uid or None, title, content)]


@in_a_folder
@given(data=st.data())
def test_a_damaged_line_within_multiline_texts_keeps_the_line_count(
    tmp_path: Path, data: st.DataObject
) -> None:
    """Rows that end before the damage are unchanged.

    An extra quote may open a text that the next opening quote then closes: nothing can
    decide which of the two is wrong. Any other damage costs only its own row.
    """
    text = st.lists(TEXT.map(lambda t: " ".join(t.split())), min_size=1, max_size=4)
    texts = data.draw(st.lists(text, min_size=4, max_size=12))
    output = io.StringIO()
    rows = [(str(n), "lamp", "\n".join(lines)) for n, lines in enumerate(texts)]
    csv.writer(output, lineterminator="\n").writerows([COLUMNS, *rows])
    lines = output.getvalue().split("\n")[:-1]
    hurt = data.draw(st.integers(1, len(lines) - 1))
    cut = data.draw(st.integers(0, len(lines[hurt])))
    junk = data.draw(st.sampled_from('",\0'))
    lines[hurt] = lines[hurt][:cut] + junk + lines[hurt][cut:]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([*lines, ""]), newline="\n")
    read, _, stats = rows_in(path)
    assert (stats.lines, stats.rows) == (len(lines), len(read))
    # Rows that end before the damage are unchanged.
    ended = 1
    for row, (uid, title, content) in zip(rows, read, strict=False):
        ended += (row[2].count("\n")) + 1
        if ended > hurt:
            break
        assert (uid, title, content or "") == row
    if junk != '"':
        ends = list(accumulate((row[2].count("\n") + 1 for row in rows), initial=1))
        hit = bisect_right(ends, hurt) - 1
        kept = {(uid, title, content or "") for uid, title, content in read}
        assert {*rows[:hit], *rows[hit + 1 :]} <= kept


LONG = b'{"uid": "' + b"x" * records.MAX_LINE_BYTES + b'"}\n'


BAD_LINES = {
    "a NUL": (rb'{"uid":"1","title":"a\u0000b","content":"c"}', "title contains a NUL"),
    "a lone surrogate": (
        rb'{"uid":"1","title":"a\ud800b","content":"c"}',
        "title contains half of a surrogate pair",
    ),
    "broken UTF-8": (
        b'{"uid":"1","title":"a\xffb","content":"c"}',
        "not UTF-8: invalid start byte at byte 21; for Windows text: iconv -f CP1252",
    ),
    "broken JSON": (b'{"uid":"1","title":', "not JSON: Expecting value: column 20"),
    "an array": (b"[1, 2]", "not a JSON object"),
    "a number": (b"1", "not a JSON object"),
    "a missing key": (
        b'{"uid":"1","Title":"a"}',
        (
            "key 'title' is missing; the object has uid, Title: name yours with "
            "--title Title --content COLUMN"
        ),
    ),
    "a key twice": (
        rb'{"uid":"1","title":"a","t\u0069tle":"b","content":"c"}',
        "key 'title' appears twice in the object",
    ),
    "a fraction as title": (
        b'{"uid":"1","title":5.5,"content":"c"}',
        "title is a number with a fraction, but must be text or null; jq -c '.title |=",
    ),
    "NaN as title": (b'{"uid":"1","title":NaN,"content":"c"}', "title is NaN"),
    "a boolean as id": (b'{"uid":true,"title":"t","content":"c"}', "uid is true or"),
    "1.0 as id": (
        b'{"uid":1.0,"title":"t","content":"c"}',
        "uid is a number with a fraction, but",
    ),
    "objects without a line end between": (
        GOOD.strip().encode() * 2,
        "several values in a line; jq -c . ",
    ),
    "padding": (bytes(50), "contains a NUL"),
    "many values": (
        b'{"uid":"1","x":[' + b"1," * 600_000 + b"1]}",
        "more than 300,000 values in a line",
    ),
    "an object": (
        b'{"uid":"1","title":{"a":1},"content":"c"}',
        "title is an object, but must be text or null; jq -c '.title |= if ",
    ),
    "a list": (
        b'{"uid":"1","title":"t","content":["c"]}',
        "content is a list, but must",
    ),
    "too many levels": (b"[" * 100_000, "not JSON: nested too deeply"),
    "an over-long line": (LONG, "longer than 16 MiB"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_reported_and_the_lines_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_LINES[fault]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + line.rstrip() + b"\n" + GOOD.encode())
    rows, [reject], stats = rows_in(path)
    assert rows == [("1", "lamp", "bright")] * 2
    assert str(reject).startswith(f"{path}:2: {reason}")
    assert stats.lines == 3


BAD_CSV = {
    "a NUL": (b"1,la\0mp,c\n", "contains a NUL"),
    "broken UTF-8": (b"1,la\xffmp,c\n", "not UTF-8: invalid start byte at byte 4"),
    "a field too few": (b"1,lamp\n", "2 fields, but the header has 3"),
    "a field too many": (b"1,lamp,c,d\n", "4 fields, but the header has 3"),
    "a quote too many": (b'1,"la"mp,c\n', "not CSV: text after a closing quote"),
    "a carriage return": (b"1,la\rmp,c\n", "not CSV: a carriage return in a field"),
    "an over-long line": (b"x" * records.MAX_LINE_BYTES + b"xx\n", "longer than 16"),
    "a quote that is never closed": (
        b'1,"lamp,c\n',
        "not CSV: a quote is never closed",
    ),
}


@pytest.mark.parametrize("fault", BAD_CSV)
def test_a_bad_row_of_csv_is_reported_and_the_rows_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_CSV[fault]
    path = tmp_path / "rows.csv"
    path.write_bytes(b'uid,title,content\n1,"two\nlines",c\n' + line + b"2,b,c\n")
    rows, [reject], stats = rows_in(path)
    assert rows == [("1", "two\nlines", "c"), ("2", "b", "c")]
    assert str(reject).startswith(f"{path}:4: {reason}")
    assert (stats.lines, stats.rejected_lines) == (5, 1)
