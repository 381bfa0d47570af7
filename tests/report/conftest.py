"""Exports with a report: of the sample, of hostile rows, of rows made for a test."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.lines import chat_line
from tests.workspace import MakeWorkspace, Workspace

MEGABYTE = "x" * 1_000_000

# Twelve titles that try to be more than text: markup, controls, a megabyte.
HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "</style><style>body { display: none }</style>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "--> <!-- ]]> <![CDATA[ comment",
    "</details></section></main></body></html>",
    "\u202egnp.exe\u202c and \u2067isolated",
    "zero\u200bwidth\u200d\ufeff and \u00ad\u2060joined",
    "Z" + "\u0301\u0323\u0489" * 200 + "algo",
    MEGABYTE,
    '<a href="data:text/html,<script>alert(1)</script>">data</a> {{ 7 * 7 }}',
    "\u0645\u0631\u062d\u0628\u0627 (\u0634\u0643\u0631\u0627) \u05e9\u05dc",
    "bell\x07 escape\x1b[31m red \x85 next\r\nline\u2028end",
]

# A title that tries to forge parts of the card in Markdown.
FORGED = "`# Forged` | [a](https://x.test) <b>\n---\nlicense: mit\n# @all www.x.test"


@pytest.fixture(scope="session")
def sample_files(
    built_sample: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with the export of the sample and its report."""
    folder = tmp_path_factory.mktemp("report")
    for command in ("export", "report"):
        done = built_sample.finetune(command, "-o", folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def hostile_files(make_workspace: MakeWorkspace) -> Path:
    """Return the folder of an export of hostile rows, with its report."""
    workspace = make_workspace()
    titles = [*HOSTILE, FORGED]
    rows = [(f"{n}", title, f"{title} {n}") for n, title in enumerate(titles)]
    rows += [(f"+{n}", title, f"{title} again") for n, title in enumerate(titles)]
    rows += [(f"-{n}", title, "short") for n, title in enumerate(HOSTILE)]
    workspace.insert(rows)
    workspace.build("--vars", "{min_title_occurrences: 2, validation_percent: 20}")
    workspace.export()
    done = workspace.finetune("report", "--license", "mit", "--language", "en")
    assert done.returncode == 0, done.stderr
    return workspace.folder / "files"


def write_export(
    sample_files: Path,
    folder: Path,
    examples: Iterable[tuple[str, str]],
    **facts: object,
) -> None:
    """Write an export of these questions and answers, with the sample's manifest."""
    folder.mkdir()
    digest, size, lines = hashlib.sha256(), 0, 0
    with (folder / "train.jsonl").open("wb") as file:
        for question, answer in examples:
            line = chat_line(system="Be brief.", title=question, description=answer)
            file.write(line)
            digest.update(line)
            size, lines = size + len(line), lines + 1
    shutil.copy(sample_files / "clean.jsonl", folder)
    document = json.loads((sample_files / "manifest.json").read_bytes())
    document["files"]["train.jsonl"] = {
        "sha256": digest.hexdigest(),
        "bytes": size,
        "lines": lines,
    }
    document["splits"]["train"] = {"titles": 1, "pairs": lines, "characters": size}
    (folder / "manifest.json").write_text(json.dumps(document | facts))
