"""Each odd kind of file breaks a rule of its own, with a fix that works when pasted."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checked import findings
from tests.corpus import ANSWER, SYSTEM, USER, chat, with_line
from tests.odd_files import FILES, NAMED, packed


@pytest.mark.parametrize("kind", FILES)
def test_a_pasted_fix_leaves_a_file_without_a_fault(kind: str, tmp_path: Path) -> None:
    content, rule = FILES[kind]
    path = tmp_path / "my rows.jsonl"
    path.write_bytes(content)
    found = findings(path)
    fix = next(finding.fix for finding in found if finding.rule == rule)
    _, command = fix.split(": ", 1)
    if not shutil.which(command.split()[0]):
        pytest.skip(f"{command.split()[0]} is absent")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False)
    other = tmp_path / "OTHER.jsonl"
    left = {finding.rule for finding in findings(other if other.exists() else path)}
    assert left <= {"no-final-newline", "crlf"} - {rule}


@pytest.mark.parametrize("name", ["my rows.jsonl.gz", "my rows.jsonl"])
@pytest.mark.parametrize("kind", sorted(FILES.keys() - {"gzip", "tar", "zip"}))
def test_a_pasted_fix_unpacks_a_compressed_file_first(
    kind: str, name: str, tmp_path: Path
) -> None:
    content, rule = FILES[kind]
    packed = gzip.compress(content)
    (tmp_path / name).write_bytes(packed)
    fix = next(f.fix for f in findings(tmp_path / name) if f.rule == rule)
    command = fix.split(": ", 1)[1]
    if not shutil.which(command.split()[0]):
        pytest.skip(f"{command.split()[0]} is absent")
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False)
    left = {finding.rule for finding in findings(tmp_path / "OTHER.jsonl")}
    assert left <= {"no-final-newline", "crlf"} - {rule}
    assert (tmp_path / name).read_bytes() == packed


@pytest.mark.parametrize("kind", NAMED)
def test_an_odd_file_breaks_one_rule_only(kind: str, tmp_path: Path) -> None:
    content, rule = NAMED[kind]
    path = tmp_path / "train.jsonl"
    path.write_bytes(content)
    errors = {f.rule for f in findings(path) if f.severity == "error"}
    assert errors - {"too-few-examples"} == {rule}


@pytest.mark.parametrize(
    ("weight", "said"),
    [(2, "2"), (None, "null"), (True, "true"), ("1", "1"), (0.5, "0.5"), ([1], "[1")],
)
def test_an_invalid_weight_is_shown_as_json(
    weight: object, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(with_line(chat(SYSTEM, USER, {**ANSWER, "weight": weight})))
    [found] = findings(path)
    assert found.rule == "weight-invalid"
    assert found.message.startswith(f"weight {said}")


def test_a_name_without_jsonl_is_reported_only_for_a_file_of_rows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.zip"
    path.write_bytes(packed("zip"))
    assert [finding.rule for finding in findings(path)] == ["zip"]


MISSPELLED = {
    "messages": (
        {"Messages": [{"Role": "user", "Content": "Bag"}], "toolChoice2": 1},
        {"messages": [{"role": "user", "content": "Bag"}], "toolChoice2": 1},
    ),
    "gemini": (
        {"contents": [{"Role": "user", "Parts": [{"Text": "Bag"}]}], "labelA": 1},
        {"contents": [{"role": "user", "parts": [{"text": "Bag"}]}], "labelA": 1},
    ),
}


@pytest.mark.parametrize("dialect", MISSPELLED)
def test_the_fix_of_a_key_leaves_other_keys_as_they_are(
    tmp_path: Path, dialect: str
) -> None:
    path = tmp_path / "train.jsonl"
    row, fixed = MISSPELLED[dialect]
    path.write_text(json.dumps(row))
    found = findings(path, dialect=dialect)
    fix = next(f.fix for f in found if f.rule == "key-case")
    if not shutil.which("jq"):
        pytest.skip("jq is absent")
    subprocess.run(["bash", "-c", fix.split(": ", 1)[1]], cwd=tmp_path, check=True)
    assert json.loads((tmp_path / "OTHER.jsonl").read_text()) == fixed
