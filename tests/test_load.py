"""`finetune load`: every row arrives as it is, or the table stays as it was."""

import csv
import gzip
import io
import json
import os
import shutil
import sys
from collections.abc import Sequence

import pytest

from tests.rows import (
    CASES,
    COLUMNS,
    GOOD,
)
from tests.workspace import REPOSITORY, Workspace


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv.gz", "-"])
def test_plain_and_compressed_files_and_standard_input_load_alike(
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


def test_csv_on_standard_input_is_detected_by_its_header(workspace: Workspace) -> None:
    done = workspace.finetune("load", "-", text="content,title,uid\nbright,lamp,\n")
    assert done.returncode == 0, done.stderr
    assert workspace.sql("select * from product") == [(None, "lamp", "bright")]


def test_existing_rows_are_kept_unless_replace_is_given(
    workspace: Workspace,
) -> None:
    counts = []
    for options in ([], [], ["--append"], ["--replace"]):
        done = workspace.finetune("load", "-", *options, text=GOOD)
        counts.append((done.returncode, workspace.sql("select * from product")))
    row = ("1", "lamp", "bright")
    assert counts == [(0, [row]), (1, [row]), (0, [row, row]), (0, [row])]


def test_a_load_cannot_both_replace_and_append(workspace: Workspace) -> None:
    workspace.insert([("1", "lamp", "a bright lamp")])
    done = workspace.finetune("load", "-", "--append", "--replace", text=GOOD)
    assert done.returncode == 2
    assert "--replace and --append: give only one" in done.stderr
    assert workspace.sql("select count(*) from product") == [(1,)]


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


def test_bad_lines_are_written_to_a_file_with_their_reasons(
    workspace: Workspace,
) -> None:
    text = GOOD + "{}\n" + GOOD + "[]\n\n"
    done = workspace.finetune("load", "-", "--rejects", "bad.jsonl", text=text)
    assert done.returncode == 0
    assert done.stderr.splitlines()[:3] == [
        "2 bad lines written to bad.jsonl",
        "2 rows loaded into public.product",
        "5 lines read: 2 with rows, 2 bad, 1 header or blank",
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
        ("{}\n" * 3, "none of 3 lines has a usable row: nothing was loaded"),
    ],
)
def test_a_file_without_rows_or_with_many_bad_lines_replaces_nothing(
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
    assert "columns sku, name, body loaded; skipped: price" in done.stderr
    assert '  raw_table: "items"\n  id_column: "sku"\n' in done.stderr
    done = workspace.finetune("load", path, *names)
    assert "or give --table, --id, --title and --content" in done.stderr


def test_rows_without_an_id_load_with_no_id(workspace: Workspace) -> None:
    path = CASES / "D19_no_id.csv"
    done = workspace.finetune("load", path, "--no-id")
    assert done.returncode == 0, done.stderr
    lines = '{"title": "a", "content": ""}\n'
    assert workspace.finetune("load", "-", "--no-id", "--append", text=lines)
    assert workspace.sql("select * from product order by 2") == [
        (None, "Desk lamp", "A warm reading lamp."),
        (None, "a", ""),
    ]


def test_texts_arrive_unchanged_and_frozen(workspace: Workspace) -> None:
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


def test_files_of_every_format_are_one_load(workspace: Workspace) -> None:
    text = 'C:\\new \\N \\. said "no"\n\u00e9\t,;\''
    files: dict[str, list[list[object]]] = {
        "comma.csv": [[*COLUMNS], ["1", text, ""]],
        "turned.csv": [["content", "x", "title", "uid"], [text, "-", text, "2"]],
        "bar.csv": [["title", "uid", "content"], ["\\.", "", text]],
    }
    ends = {"comma.csv": "\n", "turned.csv": "\r\n", "bar.csv": "\r\n"}
    for name, rows in files.items():
        with (workspace.folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(
                file,
                delimiter="|" if name == "bar.csv" else ",",
                lineterminator=ends[name],
                quoting=csv.QUOTE_ALL,
            )
            writer.writerows(rows)
    lines = [
        {"more": [{"title": text}, 1.5], "content": text, "uid": 4, "title": "\\N"},
        {"content": "", "uid": "", "title": text},
        {"content": None, "uid": "6\u0001", "title": f"\b\f/{text}"},
    ]
    with (workspace.folder / "lines.jsonl").open("w") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    done = workspace.finetune("load", *files, "lines.jsonl", "comma.csv")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("7 rows loaded")
    assert workspace.sql("select * from product") == [
        ("1", text, None),
        ("2", text, text),
        (None, "\\.", text),
        ("4", "\\N", text),
        (None, text, ""),
        ("6\x01", f"\b\f/{text}", None),
        ("1", text, None),
    ]


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


def test_an_id_column_and_no_id_exclude_each_other(workspace: Workspace) -> None:
    done = workspace.finetune("load", "-", "--id", "uid", "--no-id", text=GOOD)
    assert done.returncode == 2
    assert "--id and --no-id: give only one" in done.stderr


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
        "nowhere/dbt_project.yml: no such file; cd to the folder that has it, name ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_read_is_one_clear_line(
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


def test_the_loaded_sample_equals_its_csv(built_sample: Workspace) -> None:
    path = REPOSITORY / "examples" / "products.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    assert len(rows) == 363
    loaded = built_sample.sql("select uid, title, content from product order by 1")
    assert loaded == sorted(
        (row["uid"], row["title"] or None, row["content"] or None) for row in rows
    )
