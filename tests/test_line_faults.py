"""The faults of a damaged line, each with its key and what was found."""

import re

import pytest

from exporter.checking import lines as lines_module
from exporter.checking.lines import check_line, strip_stray_bytes
from exporter.checking.rules import Fault
from tests.corpus import RAW, USER, Json, chat, encoded, message

ROW = RAW.strip()


def faults(line: bytes) -> list[Fault]:
    """Return the faults of a line that is no example."""
    example, found = check_line(line)
    assert example is None
    return found


@pytest.mark.parametrize(
    ("line", "rule", "detail"),
    [
        (b"\xff\n", "invalid-utf8", "byte 1 is 0xff"),
        (b'{"a":"caf\xe9"}\n', "invalid-utf8", "byte 10 is 0xe9"),
        (b'{"a":"\xc3\xc3\xa9"}\n', "utf8-cut", "byte 7 is 0xc3"),
        (b'{"a":NaN}\n', "nan", "NaN"),
        (b"[-Infinity]\n", "nan", "-Infinity"),
        (ROW + b"\v" + RAW, "line-separator", "U+000B"),
        (ROW + b"\r\r" + RAW, "line-separator", "U+000D"),
        (ROW + b"\xef\xbb\xbf" + RAW, "line-separator", "U+FEFF"),
        (ROW + b",\n", "trailing-comma", 'a ","'),
        (ROW + b";\n", "trailing-comma", 'a ";"'),
        (ROW + b" {}\n", "two-values", ""),
        (b'{"a":"a\x01"}\n', "raw-control", "U+0001"),
        (b'{"a":1,}\n', "comma-inside", "}"),
        (b"[1, ]\n", "comma-inside", "]"),
        (b",]\n", "comma-inside", "]"),
        (b"{,}\n", "comma-inside", "}"),
        (b'{"a" x,}\n', "not-json", "Expecting ':' delimiter at column 6"),
        (b'{"a":1', "cut-off", ""),
        (b'{"a":"x', "cut-off", ""),
        (b'{"a":x', "not-json", "Expecting value at column 6"),
        (b'{"a":1\n', "not-json", "Expecting ',' delimiter at column 7"),
        (b'{"a":"x\n', "not-json", "Unterminated string starting at column 6"),
        (b"\xc2\xa0{}\n", "not-json", "Expecting value at column 1"),
        (b"X{}X\n", "not-json", "Expecting value at column 1"),
        (b'" {\\"a\\":1}"\n', "encoded-twice", ""),
        (b'"a"\n', "not-object", "a string"),
        (b"5\n", "not-object", "a number"),
        (b"[]\n", "not-object", "a list"),
        (b'[{"role":"user"}]\n', "bare-list", ""),
    ],
)
def test_a_line_that_is_no_object_is_reported_with_what_was_found(
    line: bytes, rule: str, detail: str
) -> None:
    assert faults(line) == [Fault(rule, detail=detail)]


def test_a_comma_in_a_text_is_not_the_fault_after_it() -> None:
    [fault] = faults(b'{"a":",}\\x"}\n')
    assert fault.rule == "not-json"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"rows": [chat()]}, Fault("wrapped", "rows", "rows")),
        ({"r\u2028": [chat()]}, Fault("wrapped", "r\\u2028", "r\\u2028")),
        ({"text": "a"}, Fault("other-format", "text", "plain text")),
        ({"Messages": []}, Fault("key-case", "Messages", "Messages")),
        ({}, Fault("messages-missing", "messages")),
        (
            {"a": 1, "b": 2},
            Fault("messages-missing", "messages", "; the keys are a, b"),
        ),
    ],
)
def test_an_object_that_is_no_row_is_reported_with_its_keys(
    value: Json, fault: Fault
) -> None:
    line = encoded(value).decode().replace("\u2028", "\\u2028").encode()
    assert faults(line) == [fault]


def test_a_raw_line_end_is_reported_with_its_name() -> None:
    line = encoded(["\x85\u2029\u2028"])
    names = ["U+2028", "U+2029", "U+0085"]
    raw = [Fault("raw-line-end", detail=name) for name in names]
    assert faults(line) == [*raw, Fault("not-object", detail="a list")]


def test_a_reserved_word_is_reported_with_its_text() -> None:
    reserved = re.compile("Bot:|User:")
    _, found = check_line(
        encoded(chat(message("user", "Bag"), message("assistant", "A. User: more"))),
        reserved=reserved,
    )
    assert found == [Fault("reserved-word", "messages[1].content", "User:")]


def test_a_key_that_is_not_ascii_is_also_a_text() -> None:
    value = chat(message("user", "Bag"), message("assistant", "A."))
    for key, harmful in (("<s>", False), ("\ue000<s>", True), ("\u00e9<s>", True)):
        rules = {f.rule for f in check_line(encoded(value | {key: 1}))[1]}
        assert ("special-token" in rules) is harmful, key


def test_an_example_has_the_keys_of_its_row_and_of_its_messages() -> None:
    value = chat(message("user", "Bag", weight=1), message("assistant", "A."), x=1)
    example, _ = check_line(encoded(value))
    assert example is not None
    assert example.messages == value["messages"]
    assert example.keys == {
        *("messages", "x"),
        *(f"messages[].{key}" for key in ("role", "content", "weight")),
    }


def test_a_damaged_line_has_at_most_a_hundred_faults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = encoded(chat(*range(200)))
    assert len(check_line(line)[1]) == 100
    monkeypatch.setattr(lines_module, "MOST_FAULTS", 3)
    assert [fault.key for fault in check_line(line)[1]] == [
        f"messages[{n}]" for n in range(3)
    ]


@pytest.mark.parametrize(
    ("line", "stripped", "rules"),
    [
        (b"{}\n", b"{}\n", []),
        (b"\0\0{}\n", b"{}\n", ["nul-padding"]),
        (b"{}\x1a \r\n", b"{}\n", ["ctrl-z"]),
        (b"\x1e{}\n", b"{}\n", ["record-separator"]),
        (b"\v\x1e{}\n", b"\v\x1e{}\n", []),
        (b"X\x1e{}X\n", b"X\x1e{}X\n", []),
        (b"\xef\xbb\xbf\0{}\x1a\n", b"{}\n", ["bom-inside", "nul-padding", "ctrl-z"]),
    ],
)
def test_stray_bytes_are_removed_and_each_kind_is_reported(
    line: bytes, stripped: bytes, rules: list[str]
) -> None:
    found = strip_stray_bytes(line, first=False)
    assert found == (stripped, [Fault(rule) for rule in rules])


def faults_of(*messages: Json) -> list[tuple[str, str | None]]:
    """Return the rules that an example breaks, with the key of each."""
    _, faults = check_line(encoded(chat(*messages)))
    return [(fault.rule, fault.key) for fault in faults]


@pytest.mark.parametrize("content", [None, ""])
def test_an_answer_that_is_a_call_needs_no_text(content: str | None) -> None:
    key = "messages[1].content"
    call = {"function_call": {"name": "price", "arguments": "{}"}}
    answer = message("assistant", content, **call)
    assert ("call-without-content", key) in faults_of(USER, answer)
    assert [rule for rule, at in faults_of(USER, answer) if at == key] == [
        "call-without-content"
    ]
    without = message("assistant", content, function_call=None)
    empty = "content-null" if content is None else "answer-empty"
    assert (empty, key) in faults_of(USER, without)


@pytest.mark.parametrize(
    "character",
    [
        *("\u061c", "\u180f", "\ufff9", "\U0001d173", "\U000e0041", "\U000e0100"),
        *("\u00ad", "\u200b", "\u2028", "\u202e", "\u2063", "\u3164", "\ufe0f"),
    ],
)
def test_a_text_that_shows_nothing_is_blank(character: str) -> None:
    blank = message("assistant", f" {character}{character}\n")
    assert ("content-blank", "messages[1].content") in faults_of(USER, blank)
    rules = {rule for rule, _ in faults_of(USER, message("assistant", f"B{character}"))}
    assert rules <= {"raw-line-end"}


@pytest.mark.parametrize("dash", ["-", "\u2013", "\u2014", "...", "\u2026", "?"])
def test_a_dash_may_be_a_question_but_is_no_answer(dash: str) -> None:
    assert faults_of(message("user", dash), message("assistant", "Bag")) == []
    assert faults_of(USER, message("assistant", dash)) == [
        ("null-word", "messages[1].content")
    ]
