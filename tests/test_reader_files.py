"""The readers' files: their schema, and that a new reader is one file."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date, datetime, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from exporter.checking.files import check_file
from exporter.checking.rules import Finding, read_rules
from exporter.errors import FinetuneError
from exporter.readers import FOLDER, read_readers
from tests.corpus import encoded, good
from tests.measured import PACKAGES, ROW, rows
from tests.workspace import REPOSITORY

NEW = """\
title: A reader of tomorrow
kind: provider
sources: [{what: its guide, read: 2026-11-25}]
limits: {examples: 7}
closings: [{date: 2020-01-01, what: nothing is trained, state: closed}]
"""
OLD = NEW[: NEW.index("closings")]
BLOCKS = """\
models:
  a: 2030-01-01
  b: {}
wants:
  x: y
  z: {}
closings:
  - date: 2030-01-01
    what: {}
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NEW + "limit: {}\n", ":6: Object contains unknown field `limit`; known are t"),
        (NEW + "limits.bytes: 1\n", ":6: Object contains unknown field `limits.bytes`"),
        (NEW + "name: other\n", ":6: the file's name is the name; remove the key"),
        (NEW + "kind: library\n", ":6: kind appears twice"),
        (
            NEW.replace("provider", "bank"),
            ":2: Invalid enum value 'bank' - at `$.kind`; known are provider, trainer",
        ),
        (NEW.replace("examples", "rows"), ":4: Invalid enum value 'rows'"),
        (NEW.replace("7", "seven"), ":4: Invalid enum value 'seven'"),
        (NEW.replace("7", "1.5"), ":4: Expected `int | str`, got `float`"),
        (NEW.replace("2020-01-01", "soon"), ":5: Invalid RFC3339 encoded date"),
        (NEW.replace("2020-01-01", "2020-13-01"), ":5: month must be in 1..12"),
        (OLD + BLOCKS.format("2030-02-30", "a", "b"), ":7: day "),
        (NEW.replace("[{what", "{what").replace("}]\nlim", "}\nlim"), ":3: Expected"),
        (NEW + "models: [a]\n", ":6: Expected `object`, got `array`"),
        (NEW + "hosts: [[a]]\n", ":6: Expected `str`, got `array`"),
        (NEW + "  x: [\n", ":6: "),
        (NEW.replace("title:", "titel:"), ":1: Object contains unknown field `titel`"),
        (NEW.replace("what: its", "by: its"), ":3: Object contains unknown field `by`"),
        (
            OLD
            + "closings:\n  - {date: 2030-01-01, what: a}\n  - {date: soon, what: b}\n",
            ":7: Invalid RFC3339 encoded date",
        ),
        (NEW + "dialect: poem\n", ":6: Expected `str` matching regex"),
        ("kind: library\n", ":1: Object missing required field `title`"),
        ("title: ''\n" + NEW[NEW.index("kind") :], ":1: Expected `str` of length >= 1"),
        (
            NEW.replace("{what: its guide, read: 2026-11-25}", ""),
            ":3: Expected `array`",
        ),
        ("", ":1: Expected `object`, got `null`"),
        (OLD + BLOCKS.format("soon", "a", "b"), ":7: Invalid RFC3339 encoded date"),
        (OLD + BLOCKS.format("2030-01-01", "[a]", "b"), ":10: Expected `str`, got"),
        (OLD + BLOCKS.format("2030-01-01", "a", "{}"), ":13: Expected `str`, got"),
        (OLD + BLOCKS.format("2030-01-01", "a", "b\n    x: c"), ":14: Object contains"),
        (NEW.replace("{examples: 7}", "\n  bytes: 1\n  rows: 7"), ":6: Invalid enum"),
        (NEW.replace("{examples: 7}", "\n  bytes: 1\n  tokens: x"), ":6: Invalid enum"),
        (NEW + "models: {1: 2030-01-01}\n", ":6: Expected `str`, got `int`"),
        (NEW + "wants: {x: [a]}\n", ":6: Expected `str`, got `array`"),
        (NEW + "like: nobody\n", ":6: nobody is not a reader"),
        (NEW + "instead: [nobody]\n", ":6: nobody is not a reader"),
    ],
)
def test_an_error_in_a_reader_s_file_names_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "new.yml"
    path.write_text(text)
    with pytest.raises(FinetuneError) as caught:
        read_readers(tmp_path)
    assert str(caught.value).startswith(f"{path}{said}")


def test_the_keys_of_a_reader_are_not_listed_for_an_error_within_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "new.yml").write_text(NEW.replace("what: its", "by: its"))
    with pytest.raises(FinetuneError) as caught:
        read_readers(tmp_path)
    assert "known are" not in str(caught.value)


def test_every_reader_s_file_is_valid_and_names_known_rules() -> None:
    known = read_readers()
    assert read_rules([*known]).severities.keys() == {
        path.stem for path in FOLDER.glob("*.yml")
    }
    assert "gemini" not in read_rules().readers
    today = datetime.now(timezone.utc).date()
    for reader in known.values():
        assert all(source.read <= today for source in reader.sources)


def test_a_reader_lists_one_rule_of_a_group_by_its_name() -> None:
    severities = read_rules(["hf-datasets", "nemo", "trl"]).severities
    assert [severities["hf-datasets"][rule] for rule in ("utf-16", "bom", "crlf")] == [
        *("error", "accepted", "accepted")
    ]
    assert [severities["nemo"][rule] for rule in ("bom", "nan")] == ["error", "warning"]
    # What it does not name itself is as with the one that it is like.
    assert [severities["trl"][rule] for rule in ("bom", "role-missing")] == [
        *("accepted", "error")
    ]


def test_each_reader_refuses_its_own_reserved_words_and_all_of_them(
    tmp_path: Path,
) -> None:
    rules = read_rules(dialect="nova")
    other = replace(rules.readers["nova"], reserved=["Coda:", "User:"])
    rules.readers["other"] = other
    rules.severities["other"] = rules.severities["nova"]
    path = tmp_path / "train.jsonl"
    text = "A. User: b. Coda: c. Bot: d. User: e."
    turns = [{"role": r, "content": [{"text": text}]} for r in ("user", "assistant")]
    row = {"schemaVersion": "bedrock-conversation-2024", "messages": turns}
    path.write_bytes(encoded(row))
    found: list[Finding] = []
    check_file(path, rules, found.append)
    words = [f for f in found if f.rule == "reserved-word"]
    assert [f.readers for f in words] == [["nova", "other"], ["other"], ["nova"]] * 2
    assert [f.message.split()[0] for f in words] == ["User:", "Coda:", "Bot:"] * 2


def test_a_limit_a_date_and_a_host_are_only_in_the_reader_s_file() -> None:
    facts = set()
    for reader in read_readers().values():
        large = [n for n in reader.limits.values() if n > 1_000_000]
        facts |= {form for n in large for form in (f"{n}", f"{n:,}", f"{n:_}")}
        facts |= {str(closing.date) for closing in reader.closings}
        facts |= {str(end) for end in reader.models.values()}
        facts |= {model for model in reader.models if "nano" in model}
    facts -= {str(date(2026, 11, 25))}  # Mistral's is the day it was read.
    for path in (REPOSITORY / "exporter").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not [fact for fact in facts if fact in text], path
    for page in (REPOSITORY / "README.md", *REPOSITORY.glob("docs/*.md")):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"<!-- readers: .*?<!-- end -->", "", text, flags=re.DOTALL)
        assert not [fact for fact in facts if fact in text], page


def ours(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the copy of the package in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_reader_is_one_file(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "exporter", tmp_path / "exporter")
    new = tmp_path / "exporter/readers/new.yml"
    new.write_text(NEW)
    (tmp_path / "train.jsonl").write_bytes(good(1))

    checked = ours(tmp_path, "-m", "exporter", "check", "--for", "new", "train.jsonl")
    assert "fewer than 7 examples: 1 (new: fewer are refused)" in checked.stdout
    new.write_text(f"{NEW}warns: [no-such-rule]\n")
    wrong = ours(tmp_path, "-m", "exporter", "check", "train.jsonl")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert f"{new}:6: warns no-such-rule, which is not a rule" in wrong.stderr


# What another form of the line costs: its template and its name. The first is unlike
# ours: other names of keys and roles, plain texts, the prompt as a turn. The others
# have no turns, but a key for each text, and maybe one with the same value in all rows.
FORMS = {
    "sharegpt": """{
        "conversations": [
            *([] if system is None else [{"from": "system", "value": system}]),
            {"from": "human", "value": SLOT},
            {"from": "gpt", "value": SLOT},
        ]
    }""",
    "alpaca": """{
        "instruction": "" if system is None else system,
        "input": SLOT,
        "output": SLOT,
    }""",
    "qa": """{
        "task": "describe",
        **({} if system is None else {"context": system}),
        "question": SLOT,
        "answer": SLOT,
    }""",
}
PROMPTED = {
    "sharegpt": '{"conversations":[{"from":"system","value":"Be brief."},'
    '{"from":"human","value":"lamp 1"},{"from":"gpt","value":"bright 1"}]}',
    "alpaca": '{"instruction":"Be brief.","input":"lamp 1","output":"bright 1"}',
    "qa": '{"task":"describe","context":"Be brief.","question":"lamp 1",'
    '"answer":"bright 1"}',
}
WRITE = """
import sys
from exporter.chat import encoded, fill, line_template
template = line_template(sys.argv[2] or None, sys.argv[1])
for n in range(8):
    line = fill(template, encoded(f"lamp {n}"), encoded(f"bright {n}"))
    sys.stdout.buffer.write(line)
"""


@pytest.mark.parametrize("prompt", ["Be brief.", ""])
@pytest.mark.parametrize("form", FORMS)
def test_another_form_of_the_line_is_two_files(
    form: str, prompt: str, tmp_path: Path
) -> None:
    shutil.copytree(REPOSITORY / "exporter", tmp_path / "exporter")
    for name, after, new in (
        ("chat.py", '"nova": _nova,', f'"{form}": lambda system: {FORMS[form]},'),
        ("manifest.schema.json", '"nova",', f'"{form}",'),
    ):
        path = tmp_path / "exporter" / name
        text = path.read_text("utf-8")
        assert after in text
        path.write_text(text.replace(after, f"{after} {new}", 1), "utf-8")
    (tmp_path / "exporter/readers/new.yml").write_text(f"{NEW}dialect: {form}\n")
    lines = ours(tmp_path, "-c", WRITE, form, prompt).stdout
    assert not prompt or lines.splitlines()[1] == PROMPTED[form]
    check = ["-m", "exporter", "check", "--json", "--dialect", form, "train.jsonl"]
    (tmp_path / "train.jsonl").write_text(lines)
    right = ours(tmp_path, *check)
    assert (right.returncode, right.stdout) == (0, ""), right
    wrong = lines.replace('"gpt"', '"bot"', 1).replace('"bright 1"', "null")
    wrong = wrong.replace('"from":"human",', "", 1).replace('"describe"', "1", 1)
    (tmp_path / "train.jsonl").write_text(wrong)
    found = map(json.loads, ours(tmp_path, *check).stdout.splitlines())
    n = 1 if prompt else 0
    assert (
        sorted((f["line"], f["key"], f["rule"]) for f in found)
        == {
            "sharegpt": [
                (1, f"conversations[{n}].from", "role-missing"),
                (1, f"conversations[{n + 1}].from", "role-unknown"),
                (2, f"conversations[{n + 1}].value", "content-null"),
            ],
            "alpaca": [(2, "output", "content-null")],
            "qa": [(1, "task", "row-form"), (2, "answer", "content-null")],
        }[form]
    )


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("recipes", ["axolotl", "llama-factory", "mlx", "trl"]),
        ("lengths", ["bytes", "exact"]),
        ("readers", sorted(PACKAGES)),
    ],
)
def test_measured_tables_of_the_documents_are_complete(
    table: str, names: list[str]
) -> None:
    body = rows(table)
    assert [match["name"] for match in ROW.finditer(body)] == names
    assert ROW.sub("", body) == ""
