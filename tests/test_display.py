"""Foreign text cannot control the terminal."""

import json
import unicodedata
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.cli.console import say
from exporter.display import counted, visible, visible_json
from tests.workspace import Workspace

# Clears the screen, adds a false line and reverses the order of letters.
HOSTILE = "bad\x1b[2J\r\nfinetune: forged\u202e\u2066\x9b31m\x07"
SHOWN = r"bad\x1b[2J\r\nfinetune: forged\u202e\u2066\x9b31m\x07"
CODED = f"convert_from('\\x{HOSTILE.encode().hex()}', 'utf8')"


def assert_harmless(text: str) -> None:
    for line in text.split("\n"):
        assert line.isprintable()
        assert not line.startswith("finetune: forged")


@given(st.text(st.characters(codec=None)))
def test_visible_text_is_one_printable_line_without_loss(text: str) -> None:
    shown = visible(text)
    categories = {unicodedata.category(c) for c in shown}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    if "\\" not in text:
        spelled = shown.encode("unicode_escape").replace(b"\\\\", b"\\")
        assert spelled.decode("unicode_escape") == text


@given(st.recursive(st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)))
def test_visible_json_is_the_same_value(value: object) -> None:
    for option in (None, orjson.OPT_INDENT_2):
        shown = visible_json(orjson.dumps(value, option=option))
        assert json.loads(shown) == value
        assert_harmless(shown)


def test_printable_text_is_not_changed() -> None:
    for text in ("Grüße, 日本語 👩 مصباح", r"C:\new", ""):
        assert visible(text) == text


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234, "1,234 rows")],
)
def test_one_thing_is_singular(number: int, said: str) -> None:
    assert counted(number, "row") == said


def test_messages_of_a_database_cannot_control_the_terminal(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.insert([])
    workspace.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin"
        f" raise exception '%', {CODED}; end $$"
    )
    workspace.sql(
        "create trigger refuse before insert on product"
        " for each row execute function refuse()"
    )
    row = {"uid": "1", "title": "lamp", "content": "bright"}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    done = workspace.finetune("load", tmp_path / "in.jsonl")
    assert done.returncode == 1
    assert f"finetune: PostgreSQL: {SHOWN}" in done.stderr
    assert_harmless(done.stderr)


def test_text_of_the_data_cannot_control_the_terminal(sample: Workspace) -> None:
    sample.sql(f"update finetune.filter_funnel set rule = {CODED} where position = 1")
    done = sample.finetune("export", "--no-gate")
    assert SHOWN in done.stderr
    assert_harmless(done.stderr)
    done = sample.finetune("funnel", "--json")
    assert json.loads(done.stdout)["rules"][0]["rule"] == HOSTILE
    assert_harmless(done.stdout)
    sample.sql("drop view finetune.product_outcomes")
    sample.sql(
        "create table finetune.product_outcomes as"
        f" select '1' as uid, {CODED} as dropped_by, '' as pair_id"
    )
    done = sample.finetune("funnel", "--samples", "1")
    assert SHOWN in done.stdout
    assert_harmless(done.stdout)


def test_text_of_a_checked_file_cannot_control_the_terminal(
    workspace: Workspace,
) -> None:
    name = "bad\x1b[2J\nfinetune: forged\u202e.jsonl"
    message = {"role": HOSTILE, "content": HOSTILE, HOSTILE: HOSTILE}
    line = json.dumps({"messages": [message], HOSTILE: 1})
    (workspace.folder / name).write_text(line + "\n")
    done = workspace.finetune("check", name)
    assert done.returncode == 1
    assert_harmless(done.stdout + done.stderr)
    done = workspace.finetune("check", name, "--json")
    assert done.stdout
    assert_harmless(done.stdout + done.stderr)


def test_a_newline_in_a_message_cannot_add_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("sending files\nfinetune: forged", "second")
    assert capsys.readouterr().err == "sending files\\nfinetune: forged\nsecond\n"
