"""The columns that are wanted of a file of rows, and the count of its lines."""

import pytest

from exporter.records import Columns, Intake, Reject, exact_json

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
def test_the_options_that_are_missing_are_shown(
    columns: Columns, found: list[str], options: str
) -> None:
    assert columns.options(found) == options
    assert WANTED.wanted() == ["uid", *NO_ID.wanted()]


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
def test_more_than_a_tenth_is_too_much_or_ten_lines_or_half(
    good: int, bad: int, too_many: bool
) -> None:
    rejects: list[Reject] = []
    intake = Intake(rejects.append)
    intake.add(good)
    for line in range(bad):
        intake.set_aside("rows", line, "why", b"x")
    assert intake.too_many is too_many
    assert (intake.rows, intake.lines, len(rejects)) == (good, good + bad, bad)


def test_rows_and_lines_are_counted_each_for_itself() -> None:
    intake = Intake(lambda _: None)
    intake.add(2, 5)
    intake.add(3)
    intake.set_aside("rows", 9, "why", b"x\xff", 4)
    last = Reject("rows", 9, "why", "x\\xff")
    intake.other_lines += 1
    assert (intake.rows, intake.row_lines, intake.bad_lines) == (5, 8, 4)
    assert (intake.lines, intake.last, str(last)) == (13, last, "rows:9: why")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"data": [{"a": 1}]}', ".data"),
        ('{"n": 1, "a": {"b c": {"d": [{}]}}}', '.a."b c".d'),
        ('{"\u00e9": [{}]}', '."\u00e9"'),
        ('{"a": [], "b": [1], "c": [{}]}', ".c"),
        ('{"a": {"b": {"c": {"d": [{}]}}}}', ""),
        ('[{"a": 1}]', ""),
        ("5", ""),
    ],
)
def test_the_path_to_a_list_of_objects_is_jqs(text: str, path: str) -> None:
    assert exact_json.path_to_objects(exact_json.only(text)) == path


def test_what_json_smooths_over_is_kept() -> None:
    text = '{"a": -0, "a": 123456789012345678901, "b": 1.5}'
    found = exact_json.only(text)
    assert found == [("a", "0"), ("a", "123456789012345678901"), ("b", 1.5)]
    assert exact_json.first(f"x{text} more", 1) == (found, len(text) + 1)
    assert isinstance(found, exact_json.Object)
