"""Which files are not JSON Lines, by their first bytes or their first line."""

from io import BufferedReader, BytesIO
from typing import Any

import pytest

from exporter.checking import not_jsonl
from exporter.checking.rules import Fault

ROW = b'{"messages":[]}'
DAMAGED = "json-damaged"


def fault(content: bytes, name: str = "train.jsonl") -> Fault | None:
    """Return the fault of a file with this content."""
    file: Any = BufferedReader(BytesIO(content))
    return not_jsonl.not_lines(file.readline(), file, name)


@pytest.mark.parametrize(
    ("content", "name", "rule"),
    [
        (b"a,b\n", "rows.csv", "csv"),
        (b"a\n", "ROWS.TSV", "csv"),
        (b"[1,\n2]\n", "rows.csv", "json-array"),
        (b'{"a":1}\n', "rows.csv", None),
        (b"a,b\n", "rows.jsonl", None),
        (b'"a\n"', "rows.jsonl", None),
        (b"[1]\n[2]\n", "rows.jsonl", None),
        (b"[1]\n", "rows.jsonl", "json-array"),
        (b"[\n1]\n[2]\n", "rows.jsonl", "json-array"),
        (b"\xef\xbb\xbf[1,\n2]\n", "rows.jsonl", "json-array"),
        (b'{"a":\n1}\n\n  {"b":2}\n\n', "rows.jsonl", "many-lines"),
        (b'{"a":\n' + ROW + b"\n", "rows.jsonl", None),
        (b'{"a":\n{"prompt":1}\n', "rows.jsonl", None),
        (b'{"a" x\n}\n', "rows.jsonl", None),
        (b'{"a":"\xff\n1}\n', "rows.jsonl", None),
        (b"{" + b'"a":[' * 100_000 + b"\n", "rows.jsonl", None),
    ],
)
def test_the_first_line_shows_what_a_file_is(
    content: bytes, name: str, rule: str | None
) -> None:
    assert fault(content, name) == (Fault(rule) if rule else None)


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"[\n1", "Expecting ',' delimiter at line 2 column 2"),
        (b"[\n1 2]\n", "Expecting ',' delimiter at line 2 column 3"),
        (b'{"a":\n1}\nx\n', "Expecting value at line 3 column 1"),
        (b'{"a":\n"x\n', "Unterminated string starting at line 2 column 1"),
        (
            b'{"a":\n"\xff"}\n',
            "'utf-8' codec can't decode byte 0xff in position 7: invalid start byte",
        ),
        (b"[" * 100_000 + b"\n1", "nested too deeply"),
    ],
)
def test_a_damaged_document_is_reported_with_the_place(
    content: bytes, detail: str
) -> None:
    assert fault(content) == Fault(DAMAGED, detail=detail)


def test_rows_in_an_object_are_reported_with_its_key() -> None:
    content = b'{"rows":\n[' + ROW + b"]}\n"
    assert fault(content) == Fault("wrapped", detail="rows")
    assert fault(content.replace(b"rows", b"r\\n")) == Fault("wrapped", detail="r\\n")
    assert fault(content + b"{}") == Fault("wrapped", detail="rows")


def test_a_long_document_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(not_jsonl, "_DOCUMENT_BYTES", 8)
    assert fault(b"[\n" + b"1" * 7) == Fault(
        DAMAGED, detail="Expecting ',' delimiter at line 2 column 8"
    )
    assert fault(b"[\n" + b"1" * 8) == Fault("json-array")
    assert fault(b'{"a":\n' + b"1" * 9) == Fault("many-lines")


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"", None),
        (b"\t\n\r\f\x1a\x1b\x1e", None),
        (b"a" * 95 + b"\1" * 5, None),
        (b"a" * 94 + b"\1" * 6, Fault("binary", detail="binary")),
        (b"\0" * 100 + b"a" * 19 + b"\1", None),
        (b"\0" * 100 + b"a" * 18 + b"\1", Fault("binary", detail="binary")),
        (b"SQLite format 3\0", Fault("binary", detail="a SQLite database")),
        (b"PAR1", Fault("parquet")),
    ],
)
def test_a_twentieth_of_control_characters_is_not_yet_binary(
    start: bytes, expected: Fault | None
) -> None:
    assert not_jsonl.not_text(start) == expected
