"""Which readers a rule affects, and how a finding names them."""

import pytest

from exporter.checking.rules import Fault, Finding, Rule, Rules, read_rules
from exporter.readers import read_readers

NAMES = sorted(read_readers())


@pytest.mark.parametrize(
    ("readers", "refusing", "named"),
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
def test_a_finding_names_the_readers_that_refuse_or_else_the_few_that_do_not(
    readers: int, refusing: int, named: str
) -> None:
    names = NAMES[:readers]
    severities = {n: "error" if n in names[:refusing] else "warning" for n in names}
    rules = Rules(
        {"odd": Rule("is odd{}", "why", "fix FILE{}", "error", None)},
        {name: read_readers()[name] for name in names},
        {name: {"odd": severity} for name, severity in severities.items()},
    )
    message = f"is odd ({named.format(*names)}: why)"
    found: list[Finding] = []
    rules.report(found.append, Fault("odd"), "a b", 3)
    finding = ("a b", 3, None, "odd", "error", names[:refusing], message, "fix 'a b'")
    assert found == [finding]


@pytest.mark.parametrize(
    ("name", "rule", "severity"),
    [
        ("openai", "weight-invalid", "error"),
        ("fireworks", "weight", None),
        ("fireworks", "file-too-large", "warning"),
        ("mlx", "lone-surrogate", "error"),
        ("mlx", "two-values", "error"),
        ("mlx", "duplicate-key", "warning"),
        # gzip-misnamed is a case of gzip, which hf-datasets accepts.
        ("hf-datasets", "gzip-misnamed", None),
        ("openai", "gzip-misnamed", "error"),
    ],
)
def test_the_severity_of_a_rule_is_that_of_the_reader_s_file(
    name: str, rule: str, severity: str | None
) -> None:
    affected = read_rules([name]).affected[rule]
    assert affected == {
        s: [name] if s == severity else [] for s in ("error", "warning")
    }


def test_only_readers_that_reserve_words_have_an_expression_for_them() -> None:
    assert read_rules(["openai"]).reserved() is None
    reserved = read_rules(["openai", "nova"]).reserved()
    assert reserved
    assert reserved.search("It says User: here.")
