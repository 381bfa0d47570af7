"""What `finetune check` finds only in the whole file, and where each rule begins."""

import os
import threading
from pathlib import Path

import pytest

from exporter.checking import contents as contents_module
from exporter.checking import repeats as repeats_module
from exporter.checking.contents import Contents
from exporter.checking.files import check_file
from exporter.checking.lines import Example
from exporter.checking.rules import Fault, Finding, read_rules
from tests.checked import findings
from tests.corpus import SYSTEM, Json, chat, encoded, good, lines, message


def row(question: Json, answer: Json, **more: Json) -> bytes:
    """Return an example; with `more` keys it is not checked on the fast path."""
    return encoded(
        chat(message("user", question), message("assistant", answer, **more))
    )


def found(path: Path, *rows: bytes) -> list[tuple[str, int | None]]:
    """Write a file; return the rule and line of each finding in it."""
    path.write_bytes(b"".join(rows))
    return [(finding.rule, finding.line) for finding in findings(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.jsonl"


@pytest.mark.parametrize(
    ("name", "validation"),
    [
        ("valid.jsonl", True),
        ("validation-00000-of-00001.jsonl", True),
        ("my_val.jsonl.gz", True),
        ("dev.jsonl", True),
        ("test.jsonl", True),
        ("testing.jsonl", True),
        ("eval set.jsonl", True),
        ("evaluation.jsonl", True),
        ("valid1.jsonl", True),
        ("2test.jsonl", True),
        ("Valid.jsonl", True),
        ("train.jsonl", False),
        ("invalid.jsonl", False),
        ("latest.jsonl", False),
        ("developer.jsonl", False),
        ("valid/train.jsonl", False),
    ],
)
def test_a_validation_file_has_a_word_for_it_in_its_name(
    name: str, validation: bool
) -> None:
    assert Contents(Path(name)).is_validation is validation


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        (b"".join(lines(12)).replace(b"\n", b""), "two-values"),
        (b"".join(lines(12)).replace(b"\n", b"\r")[:-1], "line-separator"),
        (b'{"data":[' + b",".join(lines(12)).replace(b"\n", b"") + b"]}", "wrapped"),
    ],
)
def test_a_line_of_many_examples_is_not_counted_as_too_few(
    path: Path, rows: bytes, rule: str
) -> None:
    assert found(path, rows + b"\n") == [(rule, 1)]


def test_a_long_line_of_rows_that_end_with_cr_is_not_counted_as_too_few(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exporter.checking.files.MAX_LINE_BYTES", 1 << 10)
    rows = b"".join(lines(12)).replace(b"\n", b"\r")
    assert found(path, rows + b"\n") == [("line-separator", 1)]


def test_a_pipe_needs_no_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b"".join(lines(12))))
    writer.start()
    said: list[Finding] = []
    assert check_file(pipe, read_rules(), said.append).examples == 12
    writer.join()
    assert said == []


@pytest.mark.parametrize("more", [{}, {"weight": 1}])
@pytest.mark.parametrize(
    ("question", "near"),
    [
        ("BAG Number 3", True),
        (" Bag\u00a0number  3", True),
        ("Bag num\u200bber 3\u2060", True),
        ("Bag num\u00adber\ufeff 3", True),
        ("Bag number 3", False),
        ("Bag number 3.", False),
        ("Bag n\u00famber 3", False),
    ],
)
def test_a_question_that_differs_in_case_or_blanks_is_near(
    path: Path, question: str, near: bool, more: Json
) -> None:
    each = found(path, *lines(12), row(question, "Another answer.", **more))
    assert (("question-near", 13) in each) is near


@pytest.mark.parametrize("more", [{}, {"weight": 1}])
def test_an_answer_is_for_many_from_the_twelfth_question_on(
    path: Path, more: Json
) -> None:
    rows = [row(f"Question {n}", "No text.", **more) for n in range(13)]
    assert ("answer-for-many", 1) not in found(path, *rows[:11], rows[0])
    assert ("answer-for-many", 2) in found(path, good(1), *rows[:12])


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("2026-01-31", True),
        ("2026-01-31T10:30Z", True),
        ("2026-01-31 10:30:00.123456789+0100", True),
        ("2026-01-31 10:30:00.1234567890", False),
        ("2026-1-31", False),
        ("2026-01-31.", False),
        (20260131, False),
    ],
)
def test_texts_are_loaded_as_dates_if_all_are_dates(
    path: Path, text: Json, dates: bool
) -> None:
    rows = [row(f"2026-02-{day:02}", f"2026-03-{day:02}") for day in range(10, 20)]
    each = found(path, *rows, row("2026-04-01", text))
    assert (("dates-only", None) in each) is dates
    assert ("dates-only", None) not in found(path, *rows, row("2026-04-01", "Bag"))
    assert ("dates-only", None) not in found(path, *([encoded({"messages": []})] * 2))


def test_html_is_counted_by_lines_of_either_path(path: Path) -> None:
    rows = [*lines(12), row("Sack", "A <b>sack</b>"), good(13)]
    rows += [row("Sag", "A <b>sag</b>", weight=1), row("Sock", "A sock &amp; more")]
    path.write_bytes(b"".join(rows))
    [html] = [finding for finding in findings(path) if finding.rule == "html"]
    assert html.line == 13
    assert html.message.startswith("HTML in 3 of 16 examples")


@pytest.mark.parametrize(
    "text",
    [
        *(b"\\u003cb\\u003e", b"\\u003CB\\u003E", b"\\u003c/p\\u003E"),
        *(b"<\\/b>", b"<br\\/>", b"\\u0026amp;"),
    ],
)
def test_html_is_found_behind_the_escapes_of_json(path: Path, text: bytes) -> None:
    path.write_bytes(b"".join(lines(12)) + row("Sack", "A TEXT").replace(b"TEXT", text))
    assert [finding.line for finding in findings(path)] == [13]


def test_the_first_line_in_another_format_is_named(path: Path) -> None:
    other, third = {"prompt": "Bag", "completion": "Blue"}, {"text": "Bag"}
    path.write_bytes(b"".join([good(1), encoded(other), encoded(third), *lines(12)]))
    [mixed] = [f for f in findings(path) if f.rule == "mixed-formats"]
    assert "prompt-completion on line 2" in mixed.message


def test_a_file_in_another_format_alone_is_not_mixed(path: Path) -> None:
    other = encoded({"prompt": "Bag", "completion": "Blue"})
    assert "mixed-formats" not in dict(found(path, *[other] * 12))


def test_the_keys_of_a_damaged_file_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contents_module, "_MOST_KEYS", 5)
    monkeypatch.setattr(contents_module, "FIRST_CHUNK_BYTES", 10)
    contents = Contents(Path("train.jsonl"))

    def late(*keys: str, offset: int) -> list[str | None]:
        example = Example([SYSTEM], frozenset(keys))
        faults = contents.add_example(b"{}\n", example, 1, offset)
        return [fault.key for fault in faults if fault.rule == "late-key"]

    assert late("messages", "a", offset=10) == []
    assert late("a", "b", "c", offset=11) == ["b", "c"]
    assert late("a", "b", "c", offset=11) == ["c"]


def test_findings_are_in_the_order_of_keys_and_of_lines(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_module, "FIRST_CHUNK_BYTES", 0)
    keys = [*"zyxwvutsrq"]
    example = Example([SYSTEM], frozenset(keys))
    faults = Contents(path).add_example(b"{}\n", example, 1, 1)
    assert [fault.key for fault in faults] == sorted(keys)
    monkeypatch.setattr(repeats_module, "_MOST", 1)
    rows = [row(f"Sack {n}", f"Answer {n}") for n in range(30)]
    rows += [row(f"sack {n}", f"Other {n}") for n in range(30)]
    rows += [row(f"Bag {n}{m}", f"Text {m}") for n in range(12) for m in range(30)]
    for rule in ("question-near", "answer-for-many"):
        places = [line for own, line in found(path, *rows) if own == rule]
        assert len(places) == 30
        assert places == sorted(map(int, filter(None, places)))


def test_a_blank_line_is_no_example() -> None:
    contents = Contents(Path("train.jsonl"))
    contents.add_row(b"\n", [Fault("crlf"), Fault("blank-line")], 1)
    contents.add_row(b"{}\n", [Fault("crlf")], 2)
    contents.skipped = 3
    assert contents.examples == 4


def test_the_question_and_the_answer_are_the_last_ones(path: Path) -> None:
    turns = [message("user", "Bag number 3"), message("assistant", "Bag 3.")]
    more = [message("user", "bag  NUMBER 4"), message("assistant", "Bag 40.")]
    assert found(path, *lines(12), encoded(chat(*turns, *more))) == [
        ("question-near", 13)
    ]
    parts = message("user", [{"type": "text", "text": "bag number 4"}])
    rules = dict(found(path, *lines(12), encoded(chat(*turns, parts, more[1]))))
    assert "question-near" not in rules
