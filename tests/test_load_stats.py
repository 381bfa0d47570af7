"""The columns to load from a file, the counts of its lines, exact JSON, and UTF-8."""

import pytest

from exporter.records import Columns, LoadStats, Reject, exact_json, rows

WANTED = Columns("uid", "title", "content")
NO_ID = Columns(None, "title", "content")


@pytest.mark.parametrize(
    ("columns", "found", "options"),
    [
        (WANTED, ["uid", "title", "content"], ""),
        (WANTED, ["uid", " Title ", "content"], "--title  Title "),
        (WANTED, ["UID", "Title", "TITLE"], "--id UID --title COLUMN --content COLUMN"),
        (
            WANTED,
            ["title", "content"],
            "--id COLUMN (or --no-id if the rows have none)",
        ),
        (NO_ID, ["title"], "--content COLUMN"),
        (NO_ID, ["title", "content"], ""),
    ],
)
def test_the_missing_options_are_shown(
    columns: Columns, found: list[str], options: str
) -> None:
    assert columns.missing_options(found) == options
    assert WANTED.names() == ["uid", *NO_ID.names()]


@pytest.mark.parametrize(
    ("good", "bad", "too_many"),
    [
        (0, 0, False),
        (1, 1, False),
        (1, 2, True),
        (10, 10, False),
        (10, 11, True),
        (89, 10, False),
        (89, 11, True),
        (180, 20, False),
        (179, 21, True),
    ],
)
def test_more_than_a_tenth_is_too_many_or_in_short_files_ten_lines_or_half(
    good: int, bad: int, too_many: bool
) -> None:
    rejects: list[Reject] = []
    stats = LoadStats(rejects.append)
    stats.add_rows(good)
    for line in range(bad):
        stats.reject("rows", line, "why", b"x")
    assert stats.too_many_rejected is too_many
    assert (stats.rows, stats.lines, len(rejects)) == (good, good + bad, bad)


def test_rows_and_lines_are_counted_separately() -> None:
    rejects: list[Reject] = []
    stats = LoadStats(rejects.append)
    stats.add_rows(2, 5)
    stats.add_rows(3)
    stats.reject("rows", 9, "why", b"x\xff", 4)
    last = Reject("rows", 9, "why", "x\\xff")
    assert rejects == [last]
    stats.skipped_lines += 1
    assert (stats.rows, stats.row_lines, stats.rejected_lines) == (5, 8, 4)
    assert (stats.lines, stats.last_reject, str(last)) == (13, last, "rows:9: why")


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ('{"data": [{"a": 1}]}', ["", ".data[]"]),
        ('{"n": 1, "a": {"b c": {"d": [{}]}}}', ["", ".a", '.a."b c"', '.a."b c".d[]']),
        ('{"\u00e9": [{}], "\\"": {}}', ["", '."\u00e9"[]', r'."\""']),
        ('{"a": [], "b": [1], "c": [[{}], {}]}', ["", ".c[][]"]),
        ("[" * 900 + "{}" + "]" * 900, []),
        ("5", []),
    ],
)
def test_the_paths_to_objects_are_jqs(text: str, paths: list[str]) -> None:
    found = exact_json.objects_in(exact_json.decode(text))
    assert [path for path, _ in found] == paths


def test_repeated_keys_and_long_numbers_are_kept() -> None:
    text = '{"a": -0, "a": 123456789012345678901, "b": 1.5}'
    found = exact_json.decode(text)
    assert found == [("a", "0"), ("a", "123456789012345678901"), ("b", 1.5)]
    assert exact_json.raw_decode(f"x{text} more", 1) == (found, len(text) + 1)
    assert isinstance(found, exact_json.Object)


@pytest.mark.parametrize("end", ["", "\u00e9", "\u20ac", "\U0001f600"])
def test_a_block_is_utf8_wherever_a_character_is_split(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PIECE_BYTES", 8)
    for pad in range(18):
        block = b"x" * pad + end.encode()
        text = block + "\u00e9\u20ac".encode()
        assert rows.is_utf8(block)
        assert rows.is_utf8(text)
        assert not rows.is_utf8(text[:-1])
        assert not rows.is_utf8(b"\xff" + text)
        assert not rows.is_utf8(block + b"\xed\xa0\x80" + text)
        assert not rows.is_utf8(text + b"\xe9 and more")
