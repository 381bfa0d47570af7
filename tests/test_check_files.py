"""What the check of a whole file reports: its limits, its ends, its long lines."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exporter.checking import contents as contents_module
from exporter.checking import files as check_module
from exporter.checking.files import check_file
from exporter.checking.rules import Finding, read_rules
from exporter.errors import FinetuneError
from tests.checked import findings, write_rows
from tests.corpus import RAW, Json, chat, encoded, good, lines, message

TWELVE = b"".join(lines(12))
MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "train.jsonl"


def found(path: Path, content: bytes) -> list[tuple[str, int | None]]:
    """Write a file; return the rule and line of each finding of a line."""
    path.write_bytes(content)
    return [(f.rule, f.line) for f in findings(path) if f.line]


def limited(path: Path, **limits: Json) -> list[str]:
    """Return the messages of the findings for a reader with only these limits."""
    rules = read_rules(["together"])
    own = replace(rules.readers["together"], published_limits=limits)
    rules.readers["together"] = own
    messages: list[Finding] = []
    check_file(path, rules, messages.append)
    return [finding.message.partition(" (")[0] for finding in messages]


def test_each_example_is_passed_on_with_its_line(path: Path) -> None:
    rows: list[Json] = [
        chat(message("user", "Bag"), message("assistant", f"Bag {n}."))
        for n in range(4)
    ]
    rows[2]["messages"][1]["weight"] = 1
    no_object = chat(5, message("user", "Bag"))
    path.write_bytes(b"".join(map(encoded, rows)) + b"\n" + encoded(no_object) + RAW)
    examples: list[tuple[int, list[Any]]] = []

    def add(line: int, messages: list[Any]) -> None:
        examples.append((line, messages))

    check_file(path, read_rules(), lambda _: None, add)
    expected = [(line, row["messages"]) for line, row in enumerate(rows, 1)]
    assert examples[:-1] == expected
    assert examples[-1][0] == 7


def test_a_limit_is_broken_by_one_more_and_not_by_as_many(path: Path) -> None:
    path.write_bytes(TWELVE)
    size = len(TWELVE)
    assert limited(path, bytes=size, examples=12, most_examples=12) == []
    assert limited(path, bytes=size - 1) == [f"{size:,} bytes, more than {size - 1:,}"]
    assert limited(path, examples=13) == ["fewer than 13 examples: 12"]
    assert limited(path, most_examples=11) == ["more than 11 examples: 12"]
    assert limited(path, validation_examples=13) == []
    valid = path.rename(path.with_name("valid.jsonl"))
    assert limited(valid, validation_examples=12, examples=13) == []
    assert limited(valid, validation_examples=13) == ["fewer than 13 examples: 12"]


def test_a_damaged_gzip_file_is_reported_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(TWELVE, mtime=0)[:-9])
    [damaged] = [f for f in findings(path, "together") if f.rule == "gzip-damaged"]
    assert damaged.message.startswith(
        "the compressed file is damaged: Compressed file ended before the "
        "end-of-stream marker was reached"
    )


def test_a_file_that_cannot_be_read_is_an_error_with_a_command(path: Path) -> None:
    for place, why in (
        (path, "No such file or directory"),
        (path.parent, "Is a directory"),
    ):
        with pytest.raises(FinetuneError) as refused:
            findings(place)
        assert str(refused.value) == (
            f"{place}: cannot be read: {why}; name a chat file, or run finetune export "
            "first"
        )


def test_a_reserved_word_among_clean_lines_is_found(path: Path) -> None:
    write_rows(path, "nova")
    rows = path.read_bytes().splitlines(keepends=True)
    rows[6] = rows[6].replace(b"A bag.", b"Bot: a bag.")
    path.write_bytes(b"".join(rows))
    [finding] = findings(path, "nova", dialect="nova")
    assert (finding.rule, finding.line) == ("reserved-word", 7)


@pytest.mark.parametrize("blank", [b"\n", b"\n\n", b" \t\n"])
def test_blank_lines_before_the_first_row_are_counted(path: Path, blank: bytes) -> None:
    blanks = [("blank-line", n + 1) for n in range(blank.count(b"\n"))]
    assert found(path, blank + TWELVE) == blanks


@pytest.mark.parametrize(
    ("end", "rules"),
    [
        (b"", []),
        (RAW, []),
        (RAW[:-1], [("no-final-newline", 13)]),
        (b"X\n", [("not-json", 13)]),
        (b"X", [("not-json", 13), ("no-final-newline", 13)]),
        (RAW + b"\0\0", [("nul-padding", 14)]),
        (RAW + b"\x1a", [("ctrl-z", 14)]),
    ],
)
def test_the_end_of_a_file_is_checked(
    path: Path, end: bytes, rules: list[tuple[str, int]]
) -> None:
    assert found(path, TWELVE + end) == rules


def test_a_line_may_be_two_mebibytes_long_wherever_a_block_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(check_module, "_BLOCK_BYTES", 128)
    row = encoded(chat(message("user", "Bag"), message("assistant", "X")))
    for size, rules in (
        (999, []),
        (1000, []),
        (1001, [("line-too-long", 1)]),
        (1002, [("line-too-long", 1)]),
    ):
        long = row.replace(b"X", b"X" * (size - len(row) + 1))
        assert len(long) == size
        assert found(path, long + RAW) == rules
        assert found(path, b"\n" + long + RAW) == [
            ("blank-line", 1),
            *[(rule, 2) for rule, _ in rules],
        ]
        for pad in range(128):
            first = row.replace(b"X", b"x" * (pad + 1))
            assert found(path, first + long + RAW) == [(rule, 2) for rule, _ in rules]
    last = row[:-1].replace(b"X", b"X" * (1000 - len(row) + 2))
    assert len(last) == 1000
    assert found(path, RAW + last) == [("no-final-newline", 2)]
    assert found(path, RAW + b" " + last) == [("line-too-long", 2)]
    monkeypatch.setattr(check_module, "_BLOCK_BYTES", 256)
    for count in range(1, 8):
        found_rules = dict(found(path, row * count + last))
        assert found_rules["no-final-newline"] == count + 1


@pytest.mark.parametrize(
    ("long", "rule", "examples"),
    [
        (b"x" * 3 * MIB, "line-too-long", 3),
        (b"\0" * 3 * MIB, "nul-padding", 2),
        (b"\0" * 3 * MIB + b"X", "line-too-long", 3),
        (b"X" + b"\0" * 3 * MIB, "line-too-long", 3),
        ((RAW[:-1] + b"\r") * (3 * MIB // len(RAW)), "line-separator", 3),
    ],
)
def test_a_line_that_is_too_long_is_reported_and_counted(
    path: Path, long: bytes, rule: str, examples: int
) -> None:
    path.write_bytes(RAW + long + b"\n" + good(1))
    reported: list[Finding] = []
    contents = check_file(path, read_rules(["together"]), reported.append)
    assert [(f.rule, f.line) for f in reported] == [(rule, 2)]
    assert contents.examples == examples
    if rule == "line-too-long":
        assert "longer than 2 MiB, not checked" in reported[0].message
    if rule == "line-separator":
        assert "U+000D" in reported[0].message


def test_a_key_is_late_if_it_first_appears_after_the_first_chunk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "MAX_LINE_BYTES", 1000)
    late = encoded(chat(message("user", "Bag"), message("assistant", "A."), note="x"))
    odd = encoded(chat(message("user", "Bag", weight=1), message("assistant", "B.")))
    before = RAW + odd + b"x" * 50_000 + b"\n" + TWELVE
    path.write_bytes(before + late)
    size = len(before + late)
    for chunk, rules in ((size - 1, ["late-key"]), (size, [])):
        monkeypatch.setattr(contents_module, "FIRST_CHUNK_BYTES", chunk)
        own = [f.rule for f in findings(path) if f.line == 16]
        assert [rule for rule in own if rule == "late-key"] == rules
