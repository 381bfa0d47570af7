"""Memory: the size of a text bounds it, not how many such texts there are."""

import hashlib
import sys
import tracemalloc
from pathlib import Path

from exporter.gate import shortened
from tests.conftest import MEASURED, Workspace

TEXT_MB, ROWS = 8, 36


def peak_mb(workspace: Workspace, *arguments: str | Path, code: int = 0) -> int:
    done = workspace.run([sys.executable, "-c", MEASURED, *arguments])
    assert done.returncode == code, done.stderr[-1000:]
    return int(done.stderr.splitlines()[-1]) >> 10


def test_a_load_of_many_long_texts_takes_no_more_than_one(workspace: Workspace) -> None:
    rows = workspace.folder / "rows.csv"
    with rows.open("w") as file:
        file.write("uid,title,content\n")
        for number in range(ROWS):
            word = hashlib.sha256(str(number).encode()).hexdigest()
            text = word * (TEXT_MB * 1024 * 1024 // len(word))
            file.write(f"{number},lamp,{text}\n")
    assert peak_mb(workspace, "load", rows) < 200


def test_an_export_of_many_long_texts_takes_no_more_than_one(sample: Workspace) -> None:
    changed = sample.sql(
        "update finetune.int_finetune__pairs_deduplicated"
        f" set description = repeat(md5(pair_id), {TEXT_MB * 1024 * 32})"
        " where pair_id in (select pair_id from"
        f" finetune.int_finetune__pairs_deduplicated limit {ROWS}) returning 1"
    )
    assert len(changed) == ROWS
    assert peak_mb(sample, "export", "--no-gate") < 200
    assert peak_mb(sample, "diff", "files", "files") < 200
    # Lines of this length are refused, one by one.
    assert peak_mb(sample, "check", code=1) < 200


def test_a_row_that_is_shown_is_cut_before_it_is_made_visible() -> None:
    row = {"title": "lamp", "description": "\x1b" * (TEXT_MB << 20)}
    tracemalloc.start()
    shown = shortened(row)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shown.startswith("title='lamp', description='")
    assert len(shown) < 130
    assert peak < 1 << 20
