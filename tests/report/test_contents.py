"""The page and the card show what the manifest and the rows of an export contain."""

import hashlib
import json
import re
import shutil
import sys
from itertools import cycle
from pathlib import Path

import pytest

from exporter.checking.rules import read_rules
from exporter.report.profiling import Profile
from tests.lines import chat_line
from tests.report.conftest import write_export
from tests.workspace import Workspace, json_lines


def test_the_page_and_the_card_show_the_numbers_of_the_manifest(
    hostile_files: Path,
) -> None:
    document = json.loads((hostile_files / "manifest.json").read_bytes())
    train, valid = document["splits"]["train"], document["splits"]["validation"]
    assert valid["pairs"]
    for name in ("report.html", "README.md"):
        text = re.sub("<[^>]*>", " ", (hostile_files / name).read_text())
        for split in (train, valid):
            for unit in ("titles", "pairs", "characters"):
                assert re.search(rf"\b{split[unit]:,}\b", text)
        for rule in document["funnel"]:
            assert rule["rule"] in text
            for fact in ("rows_before", "rows_dropped", "rows_after"):
                assert re.search(rf"\b{rule[fact]:,}\b", text)
        for facts in document["files"].values():
            assert facts["sha256"] in text
    assert f"{train['pairs'] + valid['pairs']:,}" in text


def test_the_same_export_gives_the_same_bytes_of_150_kb_at_most(
    built_sample: Workspace, sample_files: Path
) -> None:
    before = [(sample_files / n).read_bytes() for n in ("report.html", "README.md")]
    done = built_sample.finetune("report", "-o", sample_files, PYTHONHASHSEED="7")
    assert done.stdout == f"{sample_files}/report.html\n{sample_files}/README.md\n"
    after = [(sample_files / n).read_bytes() for n in ("report.html", "README.md")]
    assert before == after
    assert len(before[0]) <= 150_000


def test_dropped_rows_are_shown_if_the_database_has_the_exported_build(
    sample: Workspace, sample_files: Path, workspace: Workspace
) -> None:
    page = (sample_files / "report.html").read_text()
    assert page.count("Rows that it dropped") == 3
    assert page.count("Rows that it merged") == 1
    # The rest of the page needs only the files.
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    done = workspace.finetune("report")
    assert done.returncode == 0
    assert done.stderr.startswith("no samples of dropped rows: ")
    alone = (files / "report.html").read_text()
    assert "Rows that it" not in alone
    assert alone.count("Samples of dropped rows need the database") == 1
    # Rows that another build dropped are not shown.
    sample.build()
    done = sample.finetune("report", "-o", files)
    assert done.stderr == (
        "no samples of dropped rows: dbt has built again since the export\n"
    )
    assert (files / "report.html").read_text() == alone


def test_the_bill_is_computed_from_the_tokens(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    document = json.loads((files / "manifest.json").read_bytes())
    tokens = {"encoding": "o200k_base", "exact": True, "total": 40_000}
    tokens["histogram"] = {"64": 200, "1024": 103}
    document["splits"]["train"]["tokens"] = {
        **tokens,
        "longest": 9,
        "system_prompt": 8_000,
    }
    (files / "manifest.json").write_text(json.dumps(document))
    workspace.finetune("report", "--epochs", "3", "--price", "2.5")
    page = (files / "report.html").read_text()
    assert "<dd>40,000<" in page
    assert "<dd>20 %<" in page
    assert "<dd>120,000<" in page
    assert "<dd>$0.30<" in page
    # The histogram shows the tokens, and the default limit of three readers.
    assert "tokens, counted with o200k_base" in page
    assert '<th scope="row">64 to 75</th><td class="n">200</td>' in page
    assert ">1,024</text>" in page


@pytest.mark.parametrize("dialect", ["gemini", "nova", "prompt-completion"])
def test_every_dialect_has_a_report(
    built_sample: Workspace, tmp_path: Path, dialect: str
) -> None:
    for command in (["export", "--dialect", dialect], ["report"]):
        done = built_sample.finetune(*command, "-o", tmp_path)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="says assistant"') == 30
    assert page.count('class="says user"') == 30


@pytest.mark.parametrize(
    ("examples", "facts", "shown"),
    [
        ([("lamp", "it shines")], {}, "One conversation"),
        ([("1", "2")] * 12, {"system_prompt": None}, "The same answer, under several"),
        ([("lamp", "it shines")], {"funnel": []}, "names no funnel"),
        (
            [("lamp", "it shines")],
            {"funnel": [{"step<b>": 7}]},
            "The data set&#39;s own",
        ),
        ([("lamp", "it shines")], {"vars": {}}, "<td>none</td>"),
        # The command can be pasted into a shell.
        ([("lamp", "it shines")], {"vars": {"a": "it's"}}, "it'&#34;'&#34;'s"),
        (
            [("lamp", "it shines")],
            {"gate": {"ran": False, "tests": []}},
            "The rows were not tested",
        ),
        (
            [("lamp", "write to AKIAQWERTYUIOPASDFGH now")],
            {},
            "(not shown: a likely secret is in this text)",
        ),
    ],
)
def test_an_export_of_another_kind_has_a_report(
    sample_files: Path,
    workspace: Workspace,
    examples: list[tuple[str, str]],
    facts: dict[str, object],
    shown: str,
) -> None:
    write_export(sample_files, workspace.folder / "files", examples, **facts)
    done = workspace.finetune("report")
    assert done.returncode == 0, done.stderr
    page = (workspace.folder / "files/report.html").read_text()
    assert shown.replace("&#39;", "'") in page.replace("&#39;", "'")


@pytest.mark.parametrize(
    ("answer", "scripts"),
    [
        ("it shines", {"Latin"}),
        ("日々の明かり", {"Han", "Hiragana"}),
        ("свет\u02bc \u30fc ª 5 µm", {"Cyrillic", "Latin"}),
        ("\uff41\uff4c \uff97\uff9d", {"Latin", "Katakana"}),
    ],
)
def test_the_scripts_of_letters_are_counted_and_not_those_of_signs(
    answer: str, scripts: set[str], tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(chat_line(system=None, title="", description=answer))
    profile = Profile([file], read_rules(dialect="messages"))
    assert {group.name for group in profile.features()} == scripts


@pytest.mark.slow
def test_a_report_on_400_000_pairs_takes_200_mb_and_its_page_one(
    sample_files: Path, workspace: Workspace
) -> None:
    rows = json_lines(sample_files / "clean.jsonl")
    write_export(
        sample_files,
        workspace.folder / "files",
        (
            (f"{row['title']} {n % 300_000}", f"{n} {row['description']}")
            for n, row in zip(range(400_000), cycle(rows))
        ),
    )
    measured = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, '-m', 'exporter', 'report'], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"
    )
    done = workspace.run([sys.executable, "-c", measured])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 200
    assert (workspace.folder / "files/report.html").stat().st_size < 1_000_000


def test_what_changed_since_an_earlier_export_is_shown(
    sample_files: Path, workspace: Workspace
) -> None:
    old, files = workspace.folder / "old", workspace.folder / "files"
    for folder in (old, files):
        shutil.copytree(sample_files, folder)
    rows = (old / "clean.jsonl").read_bytes().splitlines(keepends=True)[1:]
    (old / "clean.jsonl").write_bytes(b"".join(rows))
    document = json.loads((old / "manifest.json").read_bytes())
    digest = hashlib.sha256(b"".join(rows)).hexdigest()
    size = sum(map(len, rows))
    facts = {"sha256": digest, "bytes": size, "lines": len(rows)}
    document["files"]["clean.jsonl"] = facts
    document["vars"]["min_title_occurrences"] = 9
    (old / "manifest.json").write_text(json.dumps(document))
    done = workspace.finetune("report", "--since", "old")
    assert done.returncode == 0, done.stderr
    text = re.sub("<[^>]*>", " ", (files / "report.html").read_text())
    assert re.search("came +went +changed side +changed text +kept", text)
    assert re.search(r"pairs +1 +0 +0 +0 +302 ", text)
    assert re.search(
        r"vars +min_title_occurrences: 9 +min_title_occurrences: 10 ", text
    )
    assert len(json_lines(files / "clean.jsonl")) == 303
