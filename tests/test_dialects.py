"""Dialects of the rows: written by export, checked, and uploaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.chat import DIALECTS
from exporter.checking.dialects import ROW_KEYS, RowConversation
from exporter.readers import read_readers
from tests.checked import ROWS, findings, finetune, write_rows
from tests.lines import chat_line
from tests.workspace import REPOSITORY, Workspace, json_lines

OTHERS = [name for name in DIALECTS if name != "messages"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_row_has_the_form_of_its_dialect(dialect: str) -> None:
    texts = {"system": "Be", "title": "Bag", "description": "Caf\u00e9"}
    assert json.loads(chat_line(**texts, dialect=dialect)) == ROWS[dialect]


@pytest.mark.parametrize("text", ["a\u2028b", "a\u2029b", "a\x85b", "50 %, %b, %%"])
def test_no_text_ends_the_line_or_fills_the_template(text: str) -> None:
    line = chat_line(system=text, title=text, description=text)
    assert [m["content"] for m in json.loads(line)["messages"]] == [text] * 3
    assert len(line.decode().splitlines()) == 1


@given(system=st.none() | st.text(min_size=1), title=st.text(), description=st.text())
def test_any_texts_come_back_from_every_dialect(
    system: str | None, title: str, description: str
) -> None:
    for dialect in OTHERS:
        line = chat_line(
            system=system, title=title, description=description, dialect=dialect
        )
        assert len(line.splitlines()) == len(line.decode().splitlines()) == 1
        back = RowConversation(json.loads(line), dialect).messages
        given = [text for text in (system, title, description) if text is not None]
        if dialect == "prompt-completion" and system is not None:
            given = [f"{system}\n\n{title}", description]
        assert [message["content"] for message in back] == given


@pytest.mark.parametrize("dialect", OTHERS)
def test_our_own_rows_are_clean_in_every_dialect(dialect: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.jsonl", dialect)
    assert findings(path, dialect=dialect) == []
    assert findings(path)[0].rule == "other-format"
    [few] = findings(
        write_rows(path, dialect, 1, "Write to a@example.com."), dialect=dialect
    )[:1]
    place = {
        "gemini": "contents[1].parts[0].text",
        "nova": "messages[1].content[0].text",
        "prompt-completion": "completion",
    }
    assert (few.rule, few.key) == ("email-address", place[dialect])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_duplicate_example_is_found_in_every_dialect(
    dialect: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "train.jsonl", dialect)
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*rows, rows[0], rows[1]]))
    found = findings(path, dialect=dialect)
    again = [(f.line, f.message[:14]) for f in found]
    assert again == [(len(rows) + n, f"same as line {n}") for n in (1, 2)]


@pytest.mark.parametrize(
    ("dialect", "change", "rule", "key"),
    [
        ("gemini", {"contents": 5}, "messages-not-list", "contents"),
        ("gemini", {"contents": []}, "no-assistant", "contents"),
        ("gemini", {"contents": [5]}, "message-not-object", "contents[0]"),
        ("gemini", {"systemInstruction": "Be"}, "row-form", "systemInstruction"),
        ("nova", {"schemaVersion": None}, "row-form", "schemaVersion"),
        ("nova", {"tool": 1}, "extra-key", "tool"),
        ("nova", {"system": [{"text": ""}]}, "content-empty", "system[0].text"),
        ("nova", {"system": {}}, "content-null", "system.content"),
        ("prompt-completion", {"completion": ""}, "answer-empty", "completion"),
        ("prompt-completion", {"completion": 5}, "content-not-string", "completion"),
        ("prompt-completion", {"uid": 5}, "extra-key", "uid"),
    ],
)
def test_a_fault_of_a_row_names_its_key(
    dialect: str, change: dict[str, Any], rule: str, key: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "train.jsonl", dialect)
    with path.open("ab") as file:
        file.write(json.dumps(ROWS[dialect] | change).encode() + b"\n")
    found = [(f.rule, f.key, f.line) for f in findings(path, dialect=dialect)]
    assert (rule, key, 41) in found


GEMINI = (
    '{"contents": [{"role": "user", "parts": [{"text": "..."}]},'
    ' {"role": "model", "parts": [{"text": "..."}]}]}'
)


@pytest.mark.parametrize(
    ("dialect", "row"),
    [
        ("messages", '{"messages": [...]}'),
        ("gemini", GEMINI),
        ("prompt-completion", '{"prompt": "...", "completion": "..."}'),
    ],
)
def test_the_fix_of_a_row_without_its_key_has_the_form_of_its_dialect(
    dialect: str, row: str, tmp_path: Path
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"id": 1}\n5\n')
    fixes = {f.rule: f.fix for f in findings(path, dialect=dialect)}
    assert fixes["messages-missing"] == fixes["not-object"] == f"write {row}"


def test_a_row_of_nova_may_have_tools(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.jsonl", "nova")
    row = ROWS["nova"] | {"toolConfig": {"tools": []}}
    path.write_bytes(path.read_bytes() + json.dumps(row).encode() + b"\n")
    assert findings(path, dialect="nova") == []


@pytest.mark.parametrize(
    ("turn", "rule", "key"),
    [
        ({"role": "assistant", "parts": [{"text": "a"}]}, "role-unknown", ".role"),
        ({"role": "model", "parts": "a"}, "row-form", ".parts"),
        ({"role": "model", "parts": []}, "content-list-empty", ".parts"),
        ({"role": "model"}, "content-missing", ".parts"),
        ({"role": "model", "parts": [{"text": ""}]}, "answer-empty", ".parts[0].text"),
        ({"role": "model", "parts": [{"fileData": 1}]}, "content-image", ".parts"),
        ({"parts": [{"text": "a"}]}, "role-missing", ".role"),
    ],
)
def test_a_fault_of_a_turn_names_its_key(
    turn: dict[str, object], rule: str, key: str, tmp_path: Path
) -> None:
    path = write_rows(tmp_path / "train.jsonl", "gemini")
    asked = {"role": "user", "parts": [{"text": "Sack"}]}
    with path.open("ab") as file:
        file.write(json.dumps({"contents": [asked, turn]}).encode() + b"\n")
    found = [(f.rule, f.key, f.line) for f in findings(path, dialect="gemini")]
    assert (rule, f"contents[1]{key}", 41) in found


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "contents",
                        "parts",
                        "text",
                        "role",
                        "messages",
                        "content",
                        "system",
                        "systemInstruction",
                        "prompt",
                        "completion",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=10,
    )
)
def test_rows_of_any_shape_are_checked_without_a_crash(
    value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps(value) + "\n")
    for dialect in OTHERS:
        errors = [f for f in findings(path, dialect=dialect) if f.severity == "error"]
        row = isinstance(value, dict) and ROW_KEYS[dialect] in value
        assert errors or row


@pytest.mark.parametrize("word", read_readers()["nova"].reserved)
def test_a_reserved_word_is_an_error_only_for_nova(word: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "train.jsonl", "nova", answer=f"It says {word} here.")
    found = findings(path, dialect="nova")
    assert {(f.rule, f.severity, f.key) for f in found if f.line} >= {
        ("reserved-word", "error", "messages[1].content[0].text")
    }
    other = findings(
        write_rows(path, "gemini", answer=f"It says {word}"), dialect="gemini"
    )
    assert "reserved-word" not in {finding.rule for finding in other}


def test_a_file_of_too_many_examples_is_refused(tmp_path: Path) -> None:
    most = read_readers()["nova"].limits["most_examples"]
    path = write_rows(tmp_path / "train.jsonl", "nova", most)
    assert findings(path, dialect="nova") == []
    [found] = findings(write_rows(path, "nova", most + 1), dialect="nova")
    assert (found.rule, found.severity) == ("too-many-examples", "error")


@pytest.mark.parametrize("dialect", OTHERS)
def test_every_command_knows_the_dialect_of_an_export(
    dialect: str, sample: Workspace, tmp_path: Path
) -> None:
    plain = sample.export("--system-prompt", "Be brief.")
    shutil.copytree(plain, tmp_path / "plain")
    files = sample.export("--system-prompt", "Be brief.", "--dialect", dialect)
    document = json.loads((files / "manifest.json").read_bytes())
    schema = json.loads((REPOSITORY / "exporter/manifest.schema.json").read_bytes())
    jsonschema.validate(document, schema)
    assert document["dialect"] == dialect
    clean = (tmp_path / "plain/clean.jsonl").read_bytes()
    assert (files / "clean.jsonl").read_bytes() == clean
    for line, row in zip(
        (files / "train.jsonl").read_bytes().splitlines(keepends=True),
        json_lines(tmp_path / "plain/train.jsonl"),
        strict=True,
    ):
        system, user, assistant = [m["content"] for m in row["messages"]]
        texts = {"system": system, "title": user, "description": assistant}
        assert line == chat_line(**texts, dialect=dialect)
    checked = sample.finetune("check", "--json")
    assert checked.returncode == 0, checked.stdout
    assert "examples: 303, different questions: 12" in checked.stderr
    named = sample.finetune("check", "--dialect", dialect, "files/train.jsonl")
    assert named.returncode == 0
    wrong = sample.finetune("check", "--for", "trl")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert f"--for trl reads --dialect messages, not {dialect}" in wrong.stderr
    refused = sample.finetune("upload", OPENAI_API_KEY="sk-1")
    assert refused.returncode == 1
    assert f"rows of --dialect {dialect}, but OpenAI reads messages" in refused.stderr
    changed = sample.finetune("diff", tmp_path / "plain", "files", "--json")
    assert json.loads(changed.stdout)["settings"] == {
        "dialect": {"old": "messages", "new": dialect}
    }
    for name in ("trl", "gemini", "litgpt"):
        reader = read_readers()[name]
        recipe = sample.finetune("recipe", name)
        assert recipe.returncode == 0, recipe.stderr
        prompt = "product_descriptions --system-prompt 'Be brief.'"
        other = f"export {prompt} --dialect {reader.dialect} -o files-"
        assert (other in recipe.stdout) == (reader.dialect != dialect)
        as_comment = recipe.stdout.startswith("# First: finetune export")
        assert as_comment == (reader.dialect == "messages")


def test_a_reader_of_another_dialect_is_refused_in_one_line(tmp_path: Path) -> None:
    write_rows(tmp_path / "train.jsonl", "messages")
    done = finetune("check", "train.jsonl", "--for", "gemini", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "finetune: --for gemini reads --dialect gemini, not messages: finetune export "
        "--dialect gemini, or finetune check --dialect gemini FILE\n"
    )
