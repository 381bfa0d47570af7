"""`finetune check` as a command: its output as text and JSON, and its exit codes."""

import json
from pathlib import Path

from tests.checked import finetune, write_export
from tests.corpus import chat, encoded, lines, message


def test_thousands_of_equal_findings_are_counted(tmp_path: Path) -> None:
    bad = encoded(chat(message("user", "Bag")))
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12)) + bad * 2_000)
    result = finetune("check", "train.jsonl", "--for", "openai", cwd=tmp_path)
    shown = result.stdout.splitlines()
    assert len(shown) == 8
    assert shown[0].startswith("train.jsonl:13: messages: no assistant message")
    assert shown[3] == "... and 1,997 more like this"
    assert result.returncode == 1
    assert "errors: 2,000, warnings: 1,999" in result.stderr


def test_json_is_one_finding_per_line_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(2)) + b"{}\n" * 5)
    result = finetune("check", "--json", "train.jsonl", cwd=tmp_path)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len([f for f in found if f["rule"] == "messages-missing"]) == 5
    keys = ["file", "line", "key", "rule", "severity", "readers", "message", "fix"]
    assert all(list(finding) == keys for finding in found)
    assert found[-1]["severity"] == "warning"


def test_names_of_files_need_not_be_utf_8(tmp_path: Path) -> None:
    names = [f"{side}-\udcff.jsonl" for side in ("train", "valid")]
    for name, count in zip(names, (12, 1), strict=True):
        (tmp_path / name).write_bytes(b"".join(lines(count)))
    options = ["--json", "--tokens", "--encoding", "none", "--for", "nebius"]
    result = finetune("check", *options, *names, cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(finding["rule"], finding["file"]) for finding in told] == [
        ("tokens", r"train-\udcff.jsonl"),
        ("tokens", r"valid-\udcff.jsonl"),
        ("leak-row", r"valid-\udcff.jsonl"),
    ]
    assert r"also an example of train-\udcff.jsonl:1 " in told[-1]["message"]


def test_warnings_alone_exit_with_0_and_unknown_readers_with_2(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b"".join(lines(12))[:-1])
    assert finetune("check", "train.jsonl", cwd=tmp_path).returncode == 0
    wrong = finetune("check", "train.jsonl", "--for", "gpt", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "'gpt' is not one of 'openai', 'azure'" in wrong.stderr
    missing = finetune("check", "none.jsonl", cwd=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1


def test_without_a_file_the_last_export_is_checked_by_its_manifest(
    tmp_path: Path,
) -> None:
    write_export(tmp_path / "files")
    fine = finetune("check", cwd=tmp_path)
    assert (fine.returncode, fine.stdout) == (0, "")
    train = tmp_path / "files/train.jsonl"
    train.write_bytes(train.read_bytes().replace(b"Bag 7.", b"Bug 7."))
    changed = finetune("check", cwd=tmp_path)
    assert changed.returncode == 1
    assert changed.stdout.startswith("files/train.jsonl: sha256 ")
    train.unlink()
    gone = finetune("check", "--json", cwd=tmp_path)
    assert json.loads(gone.stdout)["rule"] == "manifest"
    (tmp_path / "files/manifest.json").write_text("{}")
    none = finetune("check", cwd=tmp_path)
    assert none.returncode == 1
    assert "files/manifest.json: not a manifest" in none.stderr
