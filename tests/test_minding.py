"""Who minds a breach of a rule, and how a finding names them."""

import pytest

from exporter.checking.rules import Fault, Finding, Rule, Rules, read_rules
from exporter.readers import read_readers

NAMES = sorted(read_readers())


@pytest.mark.parametrize(
    ("readers", "minding", "named"),
    [
        (1, 1, "{0}"),
        (2, 2, "every reader"),
        (5, 4, "all but {4}"),
        (6, 4, "{0}, {1}, {2}, {3}"),
        (6, 5, "all but {5}"),
        (8, 6, "all but {6}, {7}"),
        (9, 9, "every reader"),
    ],
)
def test_those_who_mind_are_named_or_else_the_few_who_do_not(
    readers: int, minding: int, named: str
) -> None:
    names = NAMES[:readers]
    held = {n: "error" if n in names[:minding] else "warning" for n in names}
    rules = Rules(
        {"odd": Rule("is odd{}", "why", "fix FILE{}", "error", None)},
        {name: read_readers()[name] for name in names},
        {name: {"odd": severity} for name, severity in held.items()},
    )
    message = f"is odd ({named.format(*names)}: why)"
    assert rules.finding(Fault("odd"), "a b", 3) == Finding(
        "a b", 3, None, "odd", "error", names[:minding], message, "fix 'a b'"
    )


@pytest.mark.parametrize(
    ("name", "rule", "severity"),
    [
        ("openai", "weight-invalid", "error"),
        ("fireworks", "weight", None),
        ("fireworks", "file-too-large", "warning"),
        ("mlx", "lone-surrogate", "error"),
        ("mlx", "two-values", "error"),
        ("mlx", "duplicate-key", "warning"),
        # A case of gzip, which it accepts; and one of a rule that it does not.
        ("hf-datasets", "gzip-misnamed", None),
        ("openai", "gzip-misnamed", "error"),
    ],
)
def test_a_reader_minds_what_its_file_says(
    name: str, rule: str, severity: str | None
) -> None:
    found = read_rules([name]).minding[rule]
    assert found == {s: [name] if s == severity else [] for s in ("error", "warning")}


def test_a_reader_that_reserves_no_words_has_none_to_be_found() -> None:
    assert read_rules(["openai"]).reserved() is None
    reserved = read_rules(["openai", "nova"]).reserved()
    assert reserved
    assert reserved.search("It says User: here.")
