"""Loading: every row arrives as it is, and a bad line is named and loses nothing."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter import records
from exporter.errors import FinetuneError
from tests.conftest import REPOSITORY, Workspace

COLUMNS = ("uid", "title", "content")
GOOD = '{"uid": "1", "title": "lamp", "content": "bright"}\n'

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20
)
MAYBE_TEXT = st.one_of(st.none(), TEXT)


def read(path: Path) -> tuple[list[records.Row], list[records.Reject]]:
    rejects: list[records.Reject] = []
    return list(records.read_rows(path, COLUMNS, rejects.append)), rejects


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(MAYBE_TEXT, MAYBE_TEXT, MAYBE_TEXT), min_size=1))
def test_json_lines_come_back_as_they_were(
    tmp_path: Path, rows: list[records.Row]
) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows]
    path.write_text("".join(lines))
    assert read(path) == (rows, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1))
def test_csv_comes_back_as_it_was_with_null_for_empty(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    expected = [tuple(field or None for field in row) for row in rows]
    assert read(path) == (expected, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".jsonl"]))
def test_no_bytes_crash_the_reader(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(b"uid,title,content\n" * (suffix == ".csv") + data)
    if path.read_bytes().startswith(b"\x1f\x8b"):  # Cut, or not gzip at all.
        with pytest.raises(FinetuneError, match="cannot be read"):
            read(path)
        return
    rows, rejects = read(path)
    assert all("\0" not in (text or "") for row in rows for text in row)
    assert all(reject.line >= 1 for reject in rejects)


LONG = b'{"uid": "' + b"x" * records.MAX_LINE_BYTES + b'"}\n'
BAD_LINES = {
    "a NUL": (rb'{"uid":"1","title":"a\u0000b","content":"c"}', "title holds a NUL"),
    "a lone surrogate": (
        rb'{"uid":"1","title":"a\ud800b","content":"c"}',
        "not JSON in UTF-8: no low surrogate in string",
    ),
    "broken UTF-8": (
        b'{"uid":"1","title":"a\xffb","content":"c"}',
        "not JSON in UTF-8: str is not valid UTF-8",
    ),
    "UTF-16": (GOOD.encode("utf-16"), "not JSON in UTF-8"),
    "broken JSON": (b'{"uid":"1","title":', "not JSON in UTF-8: unexpected end"),
    "an array": (b"[1, 2]", "not a JSON object"),
    "a number": (b"1", "not a JSON object"),
    "a missing key": (b'{"uid":"1","title":"a"}', "key 'content' is missing"),
    "a number as title": (
        b'{"uid":"1","title":5,"content":"c"}',
        "title is int, but must be text or null",
    ),
    "a boolean as id": (
        b'{"uid":true,"title":"t","content":"c"}',
        "uid is bool, but must be text or null",
    ),
    "an over-long line": (LONG, "longer than 16 MiB"),
}


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_named_and_the_lines_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_LINES[fault]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + line + b"\n" + GOOD.encode())
    rows, rejects = read(path)
    assert rows[0] == rows[-1] == ("1", "lamp", "bright")
    assert str(rejects[0]).startswith(f"{path}:2: {reason}")


BAD_CSV = {
    "a NUL": (b"1,la\0mp,c\n", "holds a NUL"),
    "broken UTF-8": (b"1,la\xffmp,c\n", "not UTF-8: invalid start byte at byte 4"),
    "a field too few": (b"1,lamp\n", "2 fields, but the header has 3"),
    "a field too many": (b"1,lamp,c,d\n", "4 fields, but the header has 3"),
    "a quote too many": (b'1,"la"mp,c\n', "not CSV: ',' expected after '\"'"),
    "an over-long line": (b"x" * records.MAX_LINE_BYTES + b"xx\n", "longer than 16"),
}


@pytest.mark.parametrize("fault", BAD_CSV)
def test_a_bad_row_of_csv_is_named_and_the_rows_around_it_are_read(
    tmp_path: Path, fault: str
) -> None:
    line, reason = BAD_CSV[fault]
    path = tmp_path / "rows.csv"
    path.write_bytes(b'uid,title,content\n1,"two\nlines",c\n' + line + b"2,b,c\n")
    rows, rejects = read(path)
    assert rows == [("1", "two\nlines", "c"), ("2", "b", "c")]
    [reject] = rejects
    assert str(reject).startswith(f"{path}:4: {reason}")


def test_a_quote_that_is_never_closed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'uid,title,content\n1,"lamp,c\n' + b"2,b,c\n" * 10)
    rows, [reject] = read(path)
    assert rows == []
    assert str(reject) == f"{path}:2: not CSV: unexpected end of data"


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
    assert done.stderr == "1 rows loaded into public.product\n"
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
        "finetune: standard input:5001: key 'uid' is missing; nothing was loaded: mend "
        "the line, or set such lines aside with --rejects FILE\n"
    )
    assert workspace.sql("select * from product") == before


def test_bad_lines_can_be_set_aside_with_their_reasons(workspace: Workspace) -> None:
    text = GOOD + "{}\n" + GOOD + "[]\n\n"
    done = workspace.finetune("load", "-", "--rejects", "bad.jsonl", text=text)
    assert done.returncode == 0
    assert done.stderr == (
        "2 bad lines set aside in bad.jsonl\n2 rows loaded into public.product\n"
    )
    lines = (workspace.folder / "bad.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "file": "standard input",
            "line": 2,
            "reason": "key 'uid' is missing",
            "text": "{}\n",
        },
        {
            "file": "standard input",
            "line": 4,
            "reason": "not a JSON object",
            "text": "[]\n",
        },
    ]


FAULTS = {
    "no such file": (["absent.csv"], "finetune: absent.csv: cannot be read: No such"),
    "a cut archive": (
        ["cut.jsonl.gz"],
        "cut.jsonl.gz: cannot be read: Compre",
    ),
    "no header": (
        ["headless.csv"],
        "headless.csv:1: no column uid; the first line",
    ),
    "an empty file": (["empty.csv"], "empty.csv:1: no column uid"),
    "no project": (
        ["rows.jsonl", "--project-dir", "nowhere"],
        "nowhere/dbt_project.yml: No such file or directory; say where the project is",
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
