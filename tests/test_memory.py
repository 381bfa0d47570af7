"""Memory depends on the longest text, not on the number of texts."""

import hashlib
import sys
import tracemalloc
from pathlib import Path

import pytest

from exporter.display import row_preview
from tests import oracle
from tests.workspace import MEASURED, Workspace

TEXT_MB, ROWS, MILLION = 8, 36, 1_000_000


def peak_mb(workspace: Workspace, *arguments: str | Path, code: int = 0) -> int:
    done = workspace.run([sys.executable, "-c", MEASURED, *arguments])
    assert done.returncode == code, done.stderr[-1000:]
    return int(done.stderr.splitlines()[-1]) >> 10


def test_a_load_of_many_long_texts_takes_the_memory_of_one(
    workspace: Workspace,
) -> None:
    rows = workspace.folder / "rows.csv"
    with rows.open("w") as file:
        file.write("uid,title,content\n")
        for number in range(ROWS):
            word = hashlib.sha256(str(number).encode()).hexdigest()
            text = word * (TEXT_MB * 1024 * 1024 // len(word))
            file.write(f"{number},lamp,{text}\n")
    assert peak_mb(workspace, "load", rows) < 200


@pytest.mark.parametrize(
    ("beside", "text", "most"),
    [("[]", "a" * (16 << 20), 250), ("[" + "[1]," * (1 << 18) + "[]]", "a", 150)],
    ids=["a text of 16 MB", "1 MB of small lists"],
)
def test_a_load_whose_first_line_is_long_is_bounded_by_it(
    workspace: Workspace, beside: str, text: str, most: int
) -> None:
    path = workspace.folder / "rows.jsonl"
    row = f'"uid": "1", "title": "lamp", "content": "{text[:-200]}"'
    path.write_text(f'{{"more": {beside}, {row}}}\n')
    assert peak_mb(workspace, "load", path) < most


CSV, LINE = b"uid,title,content\n", b'{"uid":"1","title":"a","content":"b"}\n'
ODD = {
    "doubled quotes": (CSV + b'1,a,"' + b'""' * (2 << 20) + b'"\n2,b,c\n', 0),
    "an open quote": (CSV + b'1,"a,b\n' + b"2,c,d\n" * (4 << 20), 0),
    "lists": (b'{"x":[' + b"[]," * (4 << 20) + b"1]}\n" + LINE, 0),
    "a line of 100 MB": (b'{"uid":"' + b"x" * (100 << 20) + b'"}\n' + LINE, 0),
}


@pytest.mark.parametrize("name", ODD)
def test_a_file_that_has_no_rows_takes_little_memory(
    workspace: Workspace, name: str
) -> None:
    content, code = ODD[name]
    path = workspace.folder / "rows"
    path.write_bytes(content)
    peak = peak_mb(workspace, "load", path, "--rejects", "bad", code=code)
    assert peak < 130


def test_an_export_of_many_long_texts_takes_the_memory_of_one(
    sample: Workspace,
) -> None:
    changed = sample.sql(
        "update finetune.int_finetune__pairs_deduplicated"
        f" set description = repeat(md5(pair_id), {TEXT_MB * 1024 * 32})"
        " where pair_id in (select pair_id from"
        f" finetune.int_finetune__pairs_deduplicated limit {ROWS}) returning 1"
    )
    assert len(changed) == ROWS
    assert peak_mb(sample, "export", "--no-gate") < 200
    assert peak_mb(sample, "diff", "files", "files") < 200
    # Lines of this length are refused one by one.
    assert peak_mb(sample, "check", code=1) < 200


@pytest.mark.slow
@pytest.mark.parametrize("titles", [1, MILLION])
def test_a_million_rows_are_exported_in_constant_memory(
    workspace: Workspace, titles: int
) -> None:
    def row(number: int) -> tuple[str, str]:
        return f"title {number % titles}", f"the description of number {number}"

    rows = workspace.folder / "rows.csv"
    with rows.open("w") as file:
        file.write("uid,title,content\n")
        file.writelines(f"{n},{','.join(row(n))}\n" for n in range(MILLION))
    assert peak_mb(workspace, "load", rows) < 200
    workspace.build("--vars", "min_title_occurrences: 1")
    assert peak_mb(workspace, "export", "--no-system") < 200
    expected = hashlib.sha256()
    for title, text in sorted(
        map(row, range(MILLION)), key=lambda pair: oracle.md5("\x1f".join(pair))
    ):
        expected.update(
            f'{{"messages":[{{"role":"user","content":"{title}"}},'
            f'{{"role":"assistant","content":"{text}"}}]}}\n'.encode()
        )
    written = (workspace.folder / "files/train.jsonl").read_bytes()
    assert hashlib.sha256(written).hexdigest() == expected.hexdigest()


def test_a_row_preview_is_cut_before_it_is_escaped() -> None:
    row = {"title": "lamp", "description": "\x1b" * (TEXT_MB << 20)}
    tracemalloc.start()
    shown = row_preview(row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown.startswith("title='lamp', description='")
    assert len(shown) < 130
    assert peak < 1 << 20
