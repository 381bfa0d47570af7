"""Loading: every row arrives as it is, and a bad line is named and loses nothing."""

import csv
import gzip
import io
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import records
from exporter.checking.files import check_file
from exporter.checking.rules import Finding, read_rules
from exporter.errors import FinetuneError
from tests.conftest import REPOSITORY, Workspace
from tests.corpus import Row, rows_in

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
def test_what_is_beyond_doubt_is_read_as_meant(name: str) -> None:
    rows, rejects, intake = rows_in(CASES / name)
    assert (rows, rejects) == (READ[name], [])
    assert intake.rows == len(rows)


MORE_READ: dict[str, tuple[bytes, list[Row]]] = {
    "a blank before some quotes": (
        b'uid,title,content\n1, lamp, "a, b"\n2, c,d\n',
        [("1", " lamp", "a, b"), ("2", " c", "d")],
    ),
    "a column twice that nobody wants": (
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
def test_the_like_of_it_is_read_as_meant(name: str, tmp_path: Path) -> None:
    content, expected = MORE_READ[name]
    path = tmp_path / "rows"
    path.write_bytes(content)
    assert rows_in(path)[:2] == (expected, [])


REFUSED = {
    "A3_duplicate_header.csv": ":1: column title is named twice",
    "C2_header_open_quote.csv": ":1: the header has a quote that is not closed",
    "D11_pretty.json": ": an object over several lines; jq -c . ",
    "D12_wrapped.json": "key .products; jq -c '.products[]' ",
    "D13_zip.csv.zip": ": a zip archive; unzip ",
    "D15_header_case.csv": "has UID, Title, Content, wanted are uid, title, content: "
    "name yours with --id UID --title Title --content Content",
    "D18_lfs_pointer.jsonl": ": a Git LFS pointer, not the file; git lfs pull",
    "D19_no_id.csv": "has title, content, wanted are uid, title, content: name yours "
    "with --id COLUMN (or --no-id if the rows have none)",
    "G9_html_page.jsonl": ": an HTML or XML page",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_of_rows_is_named_with_its_remedy(name: str) -> None:
    with pytest.raises(FinetuneError) as error:
        rows_in(CASES / name)
    assert REFUSED[name] in str(error.value)


MORE_REFUSED = {
    "UTF-16LE": (
        "uid,title,content\n".encode("utf-16-le"),
        "iconv -f UTF-16LE -t UTF-8",
    ),
    "UTF-16BE": (
        "uid,title,content\n".encode("utf-16-be"),
        "iconv -f UTF-16BE -t UTF-8",
    ),
    "UTF-32": ("uid,title,content\n".encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file; pip install duckdb; python3 -c"),
    "xlsx": (
        b"PK\x03\x04....[Content_Types].xml",
        "an Excel file; save it as CSV UTF-8",
    ),
    "a dump": (b"PGDMP\x01", "a dump of PostgreSQL; pg_restore"),
    "rows below two keys": (
        b'{"data": {"items": [{"uid": 1}]}, "n": 1}\n',
        "jq -c '.data.items[]'",
    ),
    "a long document": (
        b'{\n "n": 1,\n "items": [\n' + b'  {"uid": 1, "title": "a"},\n' * 20_000,
        "perhaps items; jq -c '.. | objects | select(has(\"title\"))'",
    ),
    "an empty zip": (b"PK\x05\x06" + bytes(18), "a zip archive; unzip "),
    "Markdown": (b"| uid | title |\n|---|---|\n", "a table in Markdown"),
    "joined files whose columns differ in order": (
        b"uid,title,content\n1,a,b\nTitle,uid,content\nc,2,d\n",
        ":3: a header with the columns in another order",
    ),
    "a broken array": (
        b'[{"uid":1,"title":"a","content":"b"},\n{"uid":2 "title"}]',
        ":2: not a JSON array: Expecting ',' delimiter",
    ),
    "nothing": (b"\xef\xbb\xbf\n \n", "the file is empty"),
}


@pytest.mark.parametrize("name", MORE_REFUSED)
def test_the_like_of_it_is_named_with_its_remedy(name: str, tmp_path: Path) -> None:
    content, message = MORE_REFUSED[name]
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(FinetuneError) as error:
        rows_in(path)
    assert message in str(error.value)


def test_the_command_for_parquet_can_be_pasted_whatever_the_path(
    tmp_path: Path,
) -> None:
    path = tmp_path / 'it\'s a "best of" $HOME; `ls`.parquet'
    path.write_bytes(b"PAR1")
    with pytest.raises(FinetuneError) as loading:
        rows_in(path)
    checking: list[Finding] = []
    check_file(path, read_rules(), checking.append)
    said = [f.fix for f in checking if f.rule == "parquet"]
    for text in (str(loading.value), *said):
        *_, flag, program, argument = shlex.split(text[text.index("python3") :])
        assert (flag, argument) == ("-c", str(path))
        compile(program, "", "exec")
    assert len(said) == 1


def test_an_open_quote_costs_its_own_line() -> None:
    rows, [reject], intake = rows_in(CASES / "B1_open_quote.csv")
    assert [row[0] for row in rows] == [str(n) for n in (1, *range(3, 40))]
    assert str(reject).endswith("B1_open_quote.csv:3: not CSV: a quote is never closed")
    assert (intake.row_lines, intake.bad_lines, intake.other_lines) == (38, 1, 1)


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
def test_a_first_row_longer_than_the_first_look_is_read(
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


def test_of_a_first_line_that_is_over_long_only_that_line_is_lost(
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


def test_a_document_longer_than_the_first_look_is_named_with_its_remedy(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"meta": "a" * 300_000, "data": [json.loads(GOOD)]}))
    with pytest.raises(FinetuneError, match=r"the rows stand under the key \.data"):
        rows_in(path)
    path.write_text(json.dumps(json.loads(GOOD) | {"content": "a" * 300_000}, indent=1))
    with pytest.raises(FinetuneError, match="an object over several lines"):
        rows_in(path)
    path.write_text("\n" * 300_000 + GOOD)
    assert rows_in(path)[0] == [("1", "lamp", "bright")]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_an_open_quote_in_the_last_row_is_no_row_lost(tmp_path: Path, end: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f'uid,title,content\n1,a,b\n2,lamp,"bright{end}', newline="")
    rows, [reject], intake = rows_in(path)
    assert (rows, reject.line) == ([("1", "a", "b")], 3)
    assert (intake.row_lines, intake.bad_lines, intake.other_lines) == (1, 1, 1)


@pytest.mark.parametrize("closing", ["", '24" wide', 'wide 12"', '"well quoted"'])
def test_a_quote_that_is_closed_far_below_costs_its_own_line(
    tmp_path: Path, closing: str
) -> None:
    path = tmp_path / "rows.csv"
    lines = [f"{number},Desk lamp,A lamp of brass\n" for number in range(1, 300_001)]
    lines[10] = '11,Desk lamp,"A lamp with an open quote\n'
    lines[200_000] = f"200001,Desk lamp,{closing}\n"
    path.write_text("uid,title,content\n" + "".join(lines))
    rows, [reject], intake = rows_in(path)
    assert (len(rows), reject.line, intake.lines) == (299_999, 12, 300_001)
    assert rows[199_999][2] == (
        closing.removeprefix('"').removesuffix('"') or None
        if closing[:1] == '"'
        else closing or None
    )


def test_a_text_of_many_lines_is_no_open_quote(tmp_path: Path) -> None:
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
    read, rejects, intake = rows_in(path)
    others = [tuple(f or None for f in row) for row in rows]
    del others[hurt - 1]
    assert [row for row in others if row not in read] == []
    assert intake.lines == len(lines)
    assert intake.bad_lines == len(rejects) <= 1


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
        read, rejects, intake = rows_in(path)
    except FinetuneError:
        return  # Nothing is loaded: the first line says what the file is.
    others = [row for row in rows if row != rows[hurt]]
    assert [row for row in others if row not in read] == []
    assert len(rejects) == intake.bad_lines <= 1
    assert (intake.lines, intake.rows) == (len(lines), len(read))


@in_a_folder
@given(data=st.data())
def test_a_damaged_line_within_texts_of_many_lines_loses_count_of_none(
    tmp_path: Path, data: st.DataObject
) -> None:
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
    read, _, intake = rows_in(path)
    assert (intake.lines, intake.rows) == (len(lines), len(read))
    # What ends before the damage is as it was.
    ended = 1
    for row, (uid, title, content) in zip(rows, read, strict=False):
        ended += (row[2].count("\n")) + 1
        if ended > hurt:
            break
        assert (uid, title, content or "") == row


@in_a_folder
@given(
    data=st.binary(max_size=300), start=st.sampled_from([b"uid,title,content\n", b""])
)
def test_no_bytes_crash_the_reader(tmp_path: Path, data: bytes, start: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(start + data)
    try:
        rows, rejects, intake = rows_in(path)
    except FinetuneError:
        return
    assert all("\0" not in (text or "") for row in rows for text in row)
    assert all(reject.line >= 1 for reject in rejects)
    assert intake.rows == len(rows)


LONG = b'{"uid": "' + b"x" * records.MAX_LINE_BYTES + b'"}\n'
BAD_LINES = {
    "a NUL": (rb'{"uid":"1","title":"a\u0000b","content":"c"}', "title holds a NUL"),
    "a lone surrogate": (
        rb'{"uid":"1","title":"a\ud800b","content":"c"}',
        "title holds half of a surrogate pair",
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
        "key 'title' stands twice in the object",
    ),
    "a fraction as title": (
        b'{"uid":"1","title":5.5,"content":"c"}',
        "title is a number with a fraction, but must be text or null; jq -c '.title |=",
    ),
    "NaN as title": (b'{"uid":"1","title":NaN,"content":"c"}', "title is NaN"),
    "a boolean as id": (b'{"uid":true,"title":"t","content":"c"}', "uid is true or"),
    "a list": (
        b'{"uid":"1","title":"t","content":["c"]}',
        "content is a list, but must",
    ),
    "too many levels": (b"[" * 100_000, "not JSON: nested too deeply"),
    "an over-long line": (LONG, "longer than 16 MiB"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_named_and_the_lines_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_LINES[fault]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + line.rstrip() + b"\n" + GOOD.encode())
    rows, [reject], intake = rows_in(path)
    assert rows == [("1", "lamp", "bright")] * 2
    assert str(reject).startswith(f"{path}:2: {reason}")
    assert intake.lines == 3


BAD_CSV = {
    "a NUL": (b"1,la\0mp,c\n", "holds a NUL"),
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
def test_a_bad_row_of_csv_is_named_and_the_rows_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_CSV[fault]
    path = tmp_path / "rows.csv"
    path.write_bytes(b'uid,title,content\n1,"two\nlines",c\n' + line + b"2,b,c\n")
    rows, [reject], intake = rows_in(path)
    assert rows == [("1", "two\nlines", "c"), ("2", "b", "c")]
    assert str(reject).startswith(f"{path}:4: {reason}")
    assert (intake.lines, intake.bad_lines) == (5, 1)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv.gz", "-"])
def test_plain_compressed_and_standard_input_load_alike(
    workspace: Workspace, name: str
) -> None:
    text = GOOD if "csv" not in name else "uid,title,content\n1,lamp,bright\n"
    data = text.encode("utf-8-sig")
    path = workspace.folder / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    done = workspace.finetune("load", name, text=GOOD)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("1 row loaded into public.product\n")
    assert "next: dbt build --project-dir dbt_project\n" in done.stderr
    assert workspace.sql("select * from product") == [("1", "lamp", "bright")]


def test_csv_on_standard_input_is_known_by_its_header(workspace: Workspace) -> None:
    done = workspace.finetune("load", "-", text="content,title,uid\nbright,lamp,\n")
    assert done.returncode == 0, done.stderr
    assert workspace.sql("select * from product") == [(None, "lamp", "bright")]


def test_rows_that_are_there_are_kept_unless_told_otherwise(
    workspace: Workspace,
) -> None:
    counts = []
    for options in ([], [], ["--append"], ["--replace"]):
        done = workspace.finetune("load", "-", *options, text=GOOD)
        counts.append((done.returncode, workspace.sql("select * from product")))
    row = ("1", "lamp", "bright")
    assert counts == [(0, [row]), (1, [row]), (0, [row, row]), (0, [row])]


@pytest.mark.parametrize("options", [[], ["--replace"], ["--append"]])
def test_a_bad_line_at_the_end_leaves_the_table_as_it_was(
    workspace: Workspace, options: Sequence[str]
) -> None:
    workspace.insert([("0", "old", "row")])
    if not options:
        workspace.sql("truncate product")
    before = workspace.sql("select * from product")
    done = workspace.finetune("load", "-", *options, text=GOOD * 5000 + "{}\n")
    assert done.returncode == 1
    assert done.stderr == (
        "finetune: standard input:5001: key 'uid' is missing; the object has none: "
        "name yours with --id COLUMN --title COLUMN --content COLUMN (or --no-id if "
        "the rows have none); nothing was loaded: fix the line, or skip bad lines "
        "with --rejects FILE\n"
    )
    assert workspace.sql("select * from product") == before


def test_bad_lines_can_be_set_aside_with_their_reasons(workspace: Workspace) -> None:
    text = GOOD + "{}\n" + GOOD + "[]\n\n"
    done = workspace.finetune("load", "-", "--rejects", "bad.jsonl", text=text)
    assert done.returncode == 0
    assert done.stderr.splitlines()[:3] == [
        "2 bad lines set aside in bad.jsonl",
        "2 rows loaded into public.product",
        "5 lines read: 2 hold rows, 2 set aside, 1 header or blank",
    ]
    lines = (workspace.folder / "bad.jsonl").read_text().splitlines()
    bad = [json.loads(line) for line in lines]
    assert [(line["line"], line["text"]) for line in bad] == [(2, "{}\n"), (4, "[]\n")]
    assert bad[1]["reason"] == "not a JSON object"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("uid,title,content\n", "found no row; nothing was changed"),
        ("", "the file is empty"),
        (GOOD * 40 + "{}\n" * 11, "11 of 51 lines are bad, too many"),
        ("{}\n" * 3, "none of 3 lines holds a row: nothing was loaded"),
    ],
)
def test_a_file_of_no_rows_or_many_bad_lines_replaces_nothing(
    workspace: Workspace, text: str, message: str
) -> None:
    workspace.insert([("0", "old", "row")])
    done = workspace.finetune("load", "-", "--replace", "--rejects", "bad", text=text)
    assert (done.returncode, workspace.sql("select uid from product")) == (1, [("0",)])
    assert message in done.stderr
    assert (workspace.folder / "bad").exists() == ("{}" in text)


def test_columns_and_table_can_be_named_without_a_project(workspace: Workspace) -> None:
    shutil.rmtree(workspace.project)
    names = ["--table", "shop.items", "--id", "sku", "--title", "name"]
    path = workspace.folder / "rows.csv"
    path.write_text("sku,price,name,body\n1,2.50,lamp,bright\n")
    done = workspace.finetune("load", path, *names, "--content", "body")
    assert done.returncode == 0, done.stderr
    assert workspace.sql("select sku, name, body from shop.items") == [
        ("1", "lamp", "bright")
    ]
    assert "columns sku, name, body loaded; passed over: price" in done.stderr
    assert '  raw_table: "items"\n  id_column: "sku"\n' in done.stderr
    done = workspace.finetune("load", path, *names)
    assert "or give --table, --id, --title and --content" in done.stderr


def test_rows_without_an_id_load_when_told_so(workspace: Workspace) -> None:
    path = CASES / "D19_no_id.csv"
    done = workspace.finetune("load", path, "--no-id")
    assert done.returncode == 0, done.stderr
    lines = '{"title": "a", "content": ""}\n'
    assert workspace.finetune("load", "-", "--no-id", "--append", text=lines)
    assert workspace.sql("select * from product order by 2") == [
        (None, "Desk lamp", "A warm reading lamp."),
        (None, "a", ""),
    ]


def test_a_table_without_the_column_is_named_with_those_it_has(
    workspace: Workspace,
) -> None:
    workspace.insert([])
    done = workspace.finetune("load", "-", "--id", "sku", text='{"sku": 1}\n' + GOOD)
    assert done.returncode == 1
    text = GOOD.replace("uid", "sku")
    done = workspace.finetune("load", "-", "--id", "sku", text=text)
    assert "product has no column sku; it has uid, title, content" in done.stderr


def test_texts_arrive_exactly_and_frozen(workspace: Workspace) -> None:
    texts = [
        "\\.",
        "\\n",
        "\t\x1f",
        'a"b',
        "'",
        "\r\n",
        "\x1b\x7f",
        "\N{GRINNING FACE}",
    ]
    texts += ["".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x11000)]))]
    rows = [(str(n), text, f"{text}\n\\.\n{text}") for n, text in enumerate(texts)]
    path = workspace.folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    lines = "".join(json.dumps(dict(zip(COLUMNS, r, strict=True))) + "\n" for r in rows)
    for arguments, text in ((["rows.csv"], ""), (["-", "--replace"], lines)):
        done = workspace.finetune("load", *arguments, text=text)
        assert done.returncode == 0, done.stderr
        assert workspace.sql("select * from product order by uid") == rows
        # A frozen page is all visible to an index-only scan without a vacuum.
        workspace.sql("create extension if not exists pg_visibility")
        assert workspace.sql(
            "select bool_and(all_frozen) from pg_visibility_map('product')"
        ) == [(True,)]


def test_rejects_never_replace_an_input(workspace: Workspace) -> None:
    path = workspace.folder / "in.jsonl"
    path.write_text(GOOD * 20 + "{}\n")
    os.link(path, workspace.folder / "alias")
    for name in ("in.jsonl", "./in.jsonl", "alias", "/dev/null"):
        done = workspace.finetune("load", "in.jsonl", "--replace", "--rejects", name)
        assert done.returncode == 1, done.stderr
    command = f"{sys.executable} -m exporter load - --rejects in.jsonl < in.jsonl"
    assert workspace.run(["sh", "-c", command]).returncode == 1
    assert path.read_text() == GOOD * 20 + "{}\n"


FAULTS = {
    "no such file": (["absent.csv"], "finetune: absent.csv: cannot be read: No such"),
    "a cut archive": (
        ["cut.jsonl.gz"],
        "cut.jsonl.gz: cannot be read: Compre",
    ),
    "no header": (
        ["headless.csv"],
        "headless.csv:1: no column uid; the file has 1, lamp, bright",
    ),
    "an empty file": (["empty.csv"], "empty.csv: the file is empty"),
    "no project": (
        ["rows.jsonl", "--project-dir", "nowhere"],
        "nowhere/dbt_project.yml: No such file or directory; name its folder with",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_read_is_one_clear_line(
    workspace: Workspace, fault: str
) -> None:
    arguments, message = FAULTS[fault]
    (workspace.folder / "rows.jsonl").write_text(GOOD)
    (workspace.folder / "cut.jsonl.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    (workspace.folder / "headless.csv").write_text("1,lamp,bright\n")
    (workspace.folder / "empty.csv").write_text("")
    done = workspace.finetune("load", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert workspace.sql("select relname from pg_class where relname = 'product'") == []


def test_columns_of_other_types_take_what_the_server_can_read(
    workspace: Workspace,
) -> None:
    workspace.sql("create table product (id serial, uid int, title text, content text)")
    numbers = '{"uid": 7, "title": "t", "content": null}\n'
    assert workspace.finetune("load", "-", text=numbers).returncode == 0
    assert workspace.sql("select uid, title from product") == [(7, "t")]
    done = workspace.finetune("load", "-", "--append", text=GOOD.replace('"1"', '"x"'))
    assert done.returncode == 1
    assert 'invalid input syntax for type integer: "x"' in done.stderr
    assert "COPY product, line 1, column uid" in done.stderr


def test_the_sample_is_what_its_csv_says(built_sample: Workspace) -> None:
    path = REPOSITORY / "examples" / "products.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == 363
    loaded = built_sample.sql("select uid, title, content from product order by 1")
    assert loaded == sorted(
        (row["uid"], row["title"] or None, row["content"] or None) for row in rows
    )
