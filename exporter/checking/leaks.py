"""What stands in a training and in a validation file: the one detector of leaks."""

from exporter.checking.files import Report, is_validation
from exporter.checking.rules import Fault, Rules
from exporter.checking.whole import Contents


def check_leaks(files: list[Contents], rules: Rules, report: Report) -> None:
    """Report each example, question and answer of a validation file in training.

    Of an example that stands in both only that is reported.
    """
    for valid in files:
        for train in files:
            if is_validation(valid.path) and not is_validation(train.path):
                _compare(valid, train, rules, report)


def _compare(valid: Contents, train: Contents, rules: Rules, report: Report) -> None:
    same_rows: set[int] = set()
    for rule, key, mine, theirs in (
        ("leak-row", None, valid.rows, train.rows),
        ("leak-title", "messages", valid.questions, train.questions),
        ("leak-answer", "messages", valid.answers, train.answers),
    ):
        for line, there in mine.shared(theirs):
            if line in same_rows:
                continue
            if rule == "leak-row":
                same_rows.add(line)
            fault = Fault(rule, key, f"{train.path}:{there}")
            finding = rules.finding(fault, valid.path, line)
            if finding:
                report(finding)
