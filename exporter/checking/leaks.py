"""Find what a validation file and a training file have in common."""

from collections.abc import Iterator
from itertools import product

from exporter.checking.contents import Contents
from exporter.checking.files import OnFinding
from exporter.checking.rules import Fault, Rules


def check_leaks(files: list[Contents], rules: Rules, on_finding: OnFinding) -> None:
    """Report each validation example, question and answer that is in training too.

    An example that is in both is reported once, not also by question and answer.
    """
    for valid, train in product(files, files):
        if valid.is_validation and not train.is_validation:
            for fault, line in _leaks(valid, train):
                finding = rules.finding(fault, valid.path, line)
                if finding:
                    on_finding(finding)


def _leaks(valid: Contents, train: Contents) -> Iterator[tuple[Fault, int]]:
    same_rows = set()
    for line, train_line in valid.rows.shared(train.rows):
        same_rows.add(line)
        yield Fault("leak-row", detail=f"{train.path}:{train_line}"), line
    for rule, mine, theirs in (
        ("leak-title", valid.questions, train.questions),
        ("leak-answer", valid.answers, train.answers),
    ):
        for line, train_line in mine.shared(theirs):
            if line not in same_rows:
                yield Fault(rule, "messages", f"{train.path}:{train_line}"), line
