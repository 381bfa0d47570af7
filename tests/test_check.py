"""What `finetune check` finds: each fault in its line and key, and nothing else."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from exporter.chat import chat_messages
from exporter.checking import files as check_module
from exporter.checking.fast_path import FastPath
from exporter.checking.files import check_file, check_leaks
from exporter.checking.lines import check_line
from exporter.checking.rules import Finding, read_rules
from tests.checked import findings
from tests.corpus import Case, Json, chat, clean, encoded, good, lines, message, swapped
from tests.faulty import faulty
from tests.lines import chat_line
from tests.odd_files import FILES, NAMED
from tests.rows import DATA_SETS, each, pairs
from tests.workspace import REPOSITORY


@pytest.mark.parametrize("case", faulty(), ids=lambda case: case.name)
def test_a_fault_is_found_in_its_line_and_key_and_nothing_else(
    case: Case, tmp_path: Path
) -> None:
    path = tmp_path / case.file
    path.write_bytes(case.content)
    found = findings(path)
    own = [f for f in found if f.rule == case.rule]
    assert {f.rule for f in found} == {case.rule} | case.also
    assert (own[0].line, own[0].key) == (case.line, case.key)
    assert all(finding.file == str(path) for finding in found)


@pytest.mark.parametrize("name", clean())
def test_nothing_is_found_in_a_clean_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(clean()[name])
    found = [f for f in findings(path) if f.rule != "duplicate-example"]
    assert found == []


def test_the_corpus_breaks_every_rule_that_one_file_can_break() -> None:
    elsewhere = {
        "file-too-large",
        "leak-answer",
        "leak-row",
        "leak-title",
        "manifest",
        "reserved-word",
        "row-form",
        "too-many-examples",
        "too-many-tokens",
    }
    elsewhere |= {rule for _, rule in (FILES | NAMED).values()}
    broken = {case.rule for case in faulty()} | {
        rule for case in faulty() for rule in case.also
    }
    assert broken | elsewhere == set(read_rules().rules)
    assert len({case.name for case in faulty()}) == len(faulty()) >= 60
    assert len(clean()) >= 20


def test_every_rule_and_reader_names_a_source_with_its_date() -> None:
    path = REPOSITORY / "exporter/checking/rules.yml"
    table = yaml.safe_load(path.read_text("utf-8"))
    lists = [table["error"], table["warning"], table["accepted"]]
    rules = [r for rows in (*lists, *table["cases"].values()) for r in rows.values()]
    assert len(rules) == len(read_rules().rules)
    for *_, source in rules:
        assert table["sources"][source]["verified"]
    for reader in read_rules().readers.values():
        assert reader.sources[0].read <= datetime.now(timezone.utc).date()


def test_the_fast_path_never_accepts_a_line_that_the_full_check_faults() -> None:
    fast_path = FastPath()
    for case in faulty():
        for line in case.content.splitlines(keepends=True):
            if fast_path.texts(line):
                assert check_line(line)[1] == [], case.name


WORDS = ["Bag", "nan", " ", "\f", "\0", "\u2028", "\ufffd", "\x7f", "\u200b", "-"]
WORDS += ["bAG", '"', "\\", "\\n", "n", "<s>", "a@b.de", "2026-01-01", "\x85", ""]


@given(
    texts=st.tuples(*[st.lists(st.sampled_from(WORDS), max_size=3).map("".join)] * 3),
    escaped=st.booleans(),
)
def test_the_fast_path_accepts_a_text_only_if_the_full_check_does(
    texts: tuple[str, str, str], escaped: bool
) -> None:
    rows = json.dumps({"messages": chat_messages(*texts)}, ensure_ascii=escaped)
    line = rows.encode() + b"\n"
    clean = check_line(line)[1] == []
    assert FastPath().texts(line) == ([texts] if clean else None)
    between = good(1) + line + good(2)
    assert clean or FastPath().texts(between) is None


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (7, "a number"),
        (1.5, "a number"),
        (True, "a boolean"),
        ({"text": "Bag"}, "an object"),
    ],
)
def test_a_value_of_another_type_is_reported_with_its_type(
    content: Json, kind: str
) -> None:
    line = encoded(chat(message("user", "Bag"), message("assistant", content)))
    [fault] = check_line(line)[1]
    assert (fault.rule, fault.detail) == ("content-not-string", kind)


def test_two_rows_on_a_line_and_a_blank_line_do_not_cancel_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)) + good(13).strip() + good(14) + b"\n")
    assert [(f.rule, f.line) for f in findings(path)] == [
        ("two-values", 13),
        ("blank-line", 14),
    ]
    spread = good(14).replace(b'"messages":[', b'"messages":[\n')
    path.write_bytes(b"".join(lines(12)) + good(13).strip() + good(15) + spread)
    assert {f.line for f in findings(path)} == {13, 14, 15}


def test_only_the_duplicate_key_is_named() -> None:
    line = good(1).replace(b"}]}", b'}],"x":1,"y":2,"x":3}')
    twice = [f.key for f in check_line(line)[1] if f.rule == "duplicate-key"]
    assert twice == ["x"]


@each(DATA_SETS)
def test_our_own_lines_of_every_data_set_are_clean(path: Path, tmp_path: Path) -> None:
    prompt = "You write product descriptions."
    train = tmp_path / "train.jsonl"
    train.write_bytes(
        b"".join(
            chat_line(system=prompt, title=title, description=text)
            for _, title, text in pairs(path)
        )
    )
    assert [f for f in findings(train) if f.severity == "error"] == []


def test_the_readers_that_refuse_are_named_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(3)))
    openai, mlx = findings(path)[::-1]
    assert (openai.readers, openai.severity) == (["openai", "azure", "nebius"], "error")
    assert mlx.message == "fewer than 4 examples: 3 (mlx: fewer are refused)"
    assert findings(path, "trl", "together") == []


@pytest.mark.parametrize("half", [r"\ud800", r"\udbff", r"\udc00", r"\udfff"])
def test_either_half_of_a_pair_of_surrogates_is_found_alone(half: str) -> None:
    _, [fault] = check_line(swapped(b"blue", half.encode()))
    assert fault == ("lone-surrogate", "messages[2].content", "")


def test_a_fault_that_a_reader_does_not_refuse_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)) + good(1).replace(b"}]}", b'}],"x":1}'))
    assert [f.severity for f in findings(path, "trl")] == ["warning"]
    assert [f.severity for f in findings(path, "together")] == ["error"]


def test_a_large_file_is_refused_by_those_with_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(lines(12)))
    rules = read_rules()
    rules.readers["azure"] = replace(
        rules.readers["azure"], published_limits={"bytes": 100}
    )
    found: list[Finding] = []
    check_file(path, rules, found.append)
    assert [(f.rule, f.readers) for f in found] == [("file-too-large", ["azure"])]


def test_an_example_question_or_answer_in_both_files_is_reported_once(
    tmp_path: Path,
) -> None:
    train, valid = tmp_path / "train.jsonl", tmp_path / "valid.jsonl"
    train.write_bytes(b"".join(lines(12)))
    both = [
        good(3),
        encoded(chat(message("user", "Bag number 5"), message("assistant", "X"))),
        encoded(chat(message("user", "Sack"), message("assistant", "Bag 7."))),
        encoded(
            chat(
                message("user", "Bag number 9"),
                message("assistant", "Bag 9.", weight=1),
            )
        ),
    ]
    valid.write_bytes(b"".join(both) + b"".join(good(n) for n in range(100, 110)))
    found: list[Finding] = []
    contents = [check_file(path, read_rules(), found.append) for path in (train, valid)]
    found.clear()
    check_leaks(contents, read_rules(), found.append)
    assert [(f.rule, f.line, f.key, f.severity) for f in found] == [
        ("leak-row", 1, None, "error"),
        ("leak-title", 2, "messages", "warning"),
        ("leak-title", 4, "messages", "warning"),
        ("leak-answer", 3, "messages", "warning"),
        ("leak-answer", 4, "messages", "warning"),
    ]
    assert {f.file for f in found} == {str(valid)}
    assert f"question also in {train}:5 " in found[1].message
    assert f"answer also in {train}:7 " in found[3].message


def test_a_line_of_many_megabytes_is_reported_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "train.jsonl"
    long = [b"{" * size + b"\n" for size in (999, 1000, 1001, 2001, 5000)]
    path.write_bytes(b"".join(lines(12)) + b"".join(long) + b"x" * 3000)
    found = [(f.rule, f.line) for f in findings(path)]
    assert found == [("not-json", 13), *[("line-too-long", n) for n in range(14, 19)]]
