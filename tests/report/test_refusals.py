"""A report replaces no other card, forges and leaks nothing, and verifies the files."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import yaml

from exporter.report.texts import as_code
from tests.report.conftest import MEGABYTE, write_export
from tests.workspace import Workspace


def test_the_card_contains_no_markup_of_a_title(hostile_files: Path) -> None:
    card = (hostile_files / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "pretty_name": "Product descriptions",
        "license": "mit",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "valid.jsonl"},
                ],
            }
        ],
    }
    headings = re.findall("^#+ .*", body, flags=re.MULTILINE)
    assert [h for h in headings if "`" not in h] == [
        "## How the rows were chosen",
        "## Most answers",
        "## Risks",
        "## Provenance",
    ]
    outside = re.sub(r"(`+).*?[^`]\1(?!`)", "", body)
    for forged in ("Forged", "x.test", "@all", "script", "data:"):
        assert forged not in outside
    assert MEGABYTE[:200] not in card


def test_a_folder_whose_files_changed_is_refused(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    page = (files / "report.html").read_bytes()
    with (files / "train.jsonl").open("ab") as file:
        file.write(b"{}\n")
    done = workspace.finetune("report")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("finetune: files/train.jsonl: sha256 ")
    assert (files / "report.html").read_bytes() == page
    (files / "manifest.json").unlink()
    assert workspace.finetune("report").returncode == 1


def test_a_card_that_it_did_not_write_is_not_replaced(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    (files / "README.md").write_text("# Mine\n")
    done = workspace.finetune("report")
    assert (done.returncode, done.stdout) == (0, "files/report.html\n")
    assert "files/README.md is not replaced" in done.stderr
    assert "to get a card: rm files/README.md\n" in done.stderr
    assert (files / "README.md").read_text() == "# Mine\n"


def test_a_card_that_is_a_pipe_is_refused_and_not_waited_for(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    (files / "README.md").unlink()
    os.mkfifo(files / "README.md")
    done = workspace.finetune("report")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "finetune: files/README.md: exists and is not a plain file; choose another "
        "name\n"
    )


# Replaces the export in `files` just before it is locked.
REPLACED = """
import shutil, sys
from exporter.cli import main
def replace(event, _):
    if event == "fcntl.flock":
        shutil.copytree("new", "files", dirs_exist_ok=True)
sys.addaudithook(replace)
sys.argv[1:] = ["report"]
main()
"""


def test_an_export_that_ends_before_the_report_locks_the_folder_is_shown_whole(
    sample_files: Path, workspace: Workspace
) -> None:
    shutil.copytree(sample_files, workspace.folder / "files")
    write_export(sample_files, workspace.folder / "new", [("lamp", "it shines")])
    done = workspace.run([sys.executable, "-c", REPLACED])
    assert done.returncode == 0, done.stderr
    page = (workspace.folder / "files/report.html").read_text()
    assert "1 example to train on" in page


def test_likely_secrets_of_the_data_are_not_on_the_page(
    sample_files: Path, workspace: Workspace
) -> None:
    secrets = ["AKIAQWERTYUIOPASDFGH", "4111 1111 1111 1111", "DE89370400440532013000"]
    folder = workspace.folder / "files"
    answers = [f"a lamp, {secret}, in the middle of it" for secret in secrets]
    write_export(
        sample_files,
        folder,
        [(f"{n} {secrets[0]}", answer) for n in range(4) for answer in answers],
    )
    done = workspace.finetune("report")
    assert done.returncode == 0, done.stderr
    written = (folder / "report.html").read_text() + (folder / "README.md").read_text()
    assert "not shown: a likely secret" in written
    assert [secret for secret in secrets if secret in written] == []


def test_a_manifest_that_contradicts_its_files_is_refused(
    sample_files: Path, workspace: Workspace
) -> None:
    folder = workspace.folder / "files"
    write_export(sample_files, folder, [("lamp", "it shines")], splits={"train": {}})
    done = workspace.finetune("report")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "manifest.json: not a manifest of finetune export; run it" in done.stderr
    for change in ({"pairs": 2}, {"titles": 0}):
        shutil.rmtree(folder)
        write_export(sample_files, folder, [("lamp", "it shines")])
        path = folder / "manifest.json"
        document = json.loads(path.read_bytes())
        document["splits"]["train"] |= change
        path.write_text(json.dumps(document))
        done = workspace.finetune("report")
        assert done.returncode == 1
        assert done.stderr == (
            "finetune: files: its manifest is of another version; run finetune export "
            "again\n"
        )


def test_a_title_cannot_end_its_cell_or_its_code_span() -> None:
    assert as_code("a | `b` ``c`` \u202e\n") == r"``` a \| `b` ``c`` \u202e\n ```"
