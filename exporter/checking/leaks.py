"""What stands in a training and in a validation file: the one detector of leaks."""

from collections.abc import Iterator
from itertools import product

from exporter.checking.files import Report
from exporter.checking.rules import Fault, Rules
from exporter.checking.whole import Contents


def check_leaks(files: list[Contents], rules: Rules, report: Report) -> None:
    """Report each example, question and answer of a validation file in training.

    Of an example that stands in both only that is reported.
    """
    for valid, train in product(files, files):
        if valid.is_validation and not train.is_validation:
            for fault, line in _leaks(valid, train):
                finding = rules.finding(fault, valid.path, line)
                if finding:
                    report(finding)


def _leaks(valid: Contents, train: Contents) -> Iterator[tuple[Fault, int]]:
    same_rows = set()
    for line, there in valid.rows.shared(train.rows):
        same_rows.add(line)
        yield Fault("leak-row", detail=f"{train.path}:{there}"), line
    for rule, mine, theirs in (
        ("leak-title", valid.questions, train.questions),
        ("leak-answer", valid.answers, train.answers),
    ):
        for line, there in mine.shared(theirs):
            if line not in same_rows:
                yield Fault(rule, "messages", f"{train.path}:{there}"), line
