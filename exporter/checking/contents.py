"""What only the whole file shows: repeated texts, late keys, HTML, dates."""

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exporter.checking.fast_path import Texts
from exporter.checking.lines import Example
from exporter.checking.repeats import PairedRepeats, Repeats
from exporter.checking.rules import Fault
from exporter.checking.texts import contains_html

# Hugging Face's JSON reader takes the columns from a first chunk of this size
# and the rest of its last line (datasets 5.2.0, read and run on 2026-11-22).
FIRST_CHUNK_BYTES = 10 << 20

# More keys than any valid file has; a damaged one may have a new key on each line.
_MOST_KEYS = 10_000

# Lines that break one of these hold any number of examples.
_MORE_EXAMPLES = {"two-values", "line-separator", "wrapped"}

# The keys of nearly every example.
_USUAL_KEYS = "messages", "messages[].role", "messages[].content"

# The same answer to this many questions is a placeholder.
_MANY_QUESTIONS = 12

# Hugging Face's convention (data_files.py of datasets 5.2.0): a file with one of these
# words in its name is for validation, every other one for training. Unlike there, the
# words may have any case.
_VALIDATION = re.compile(
    r"(^|[-._ 0-9])(val|valid(ation)?|dev|test(ing)?|eval(uation)?)([-._ 0-9]|$)",
    re.IGNORECASE,
)

_NO_WIDTH = "\u00ad\u200b\u200c\u200d\u2060\ufeff"

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
)


class Contents:
    """What a checked file contains, to find its own repeats and leaks between files.

    `only_dates` is true until a text is seen that is not a date. `has_more_examples`
    is true if a line holds several, so that the file has more than `examples`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_validation = bool(_VALIDATION.search(path.name))
        self.rows, self.questions = Repeats(), Repeats()
        self.answers = PairedRepeats()
        self.skipped = 0
        self.has_more_examples = False
        self.only_dates = True
        self._has_dates = self._has_messages = False
        self._other_format = ""
        self._normalized_questions = array("q")
        self._keys = set(_USUAL_KEYS)
        self._html_lines, self._first_html = 0, 0

    @property
    def examples(self) -> int:
        """The number of lines, without blank ones but with those too long to check."""
        return len(self.rows) + self.skipped

    def add_clean(self, lines: bytes, rows: Sequence[Texts], number: int) -> None:
        """Add lines that the fast path found clean, from line `number` on."""
        numbers = range(number, number + len(rows))
        _, questions, answers = zip(*rows, strict=True)
        self.rows.extend(rows, numbers)
        self.questions.extend(questions, numbers)
        self.answers.extend(answers, numbers)
        self.answers.partners.extend(map(hash, questions))
        # All at once is three times as fast; a clean text contains no NUL.
        normalized = _normalized("\0".join(questions)).split("\0")
        self._normalized_questions.extend(map(hash, normalized))
        self._count_html(lines, number)

    def add_row(self, row: Texts | bytes, faults: list[Fault], number: int) -> None:
        """Add any other line, unless it is blank."""
        for rule, _, detail in faults:
            if rule == "blank-line":
                return
            if rule == "other-format" and not self._other_format:
                self._other_format = f"{detail} on line {number}"
            self.has_more_examples |= rule in _MORE_EXAMPLES
        self.rows.add(row, number)

    def add_example(
        self, line: bytes, example: Example, number: int, offset: int
    ) -> Iterator[Fault]:
        """Add the messages of such a line; yield a fault for each late key."""
        self._has_messages = True
        for key in sorted(example.keys - self._keys):
            if offset > FIRST_CHUNK_BYTES:
                yield Fault("late-key", key)
            if len(self._keys) < _MOST_KEYS:
                self._keys.add(key)
        messages = [m for m in example.messages if isinstance(m, dict)]
        texts = [message.get("content") for message in messages]
        if self.only_dates and texts:
            self.only_dates = self._has_dates = all(
                isinstance(text, str) and _DATE.fullmatch(text) for text in texts
            )
        self._count_html(line, number)
        question = _last_text(messages, "user")
        answer = _last_text(messages, "assistant")
        if question is not None:
            self.questions.add(question, number)
            self._normalized_questions.append(hash(_normalized(question)))
        if answer is not None:
            self.answers.add_pair(answer, number, question)

    def _count_html(self, lines: bytes, number: int) -> None:
        if contains_html(lines):
            for place, line in enumerate(lines.split(b"\n"), number):
                if contains_html(line):
                    self._first_html = self._first_html or place
                    self._html_lines += 1

    def faults(self) -> Iterator[tuple[Fault, int | None]]:
        """Yield the faults of the whole file, and the line that shows each."""
        if self._has_dates:
            yield Fault("dates-only", "messages[].content"), None
        if self._has_messages and self._other_format:
            yield Fault("mixed-formats", detail=self._other_format), None
        for line, first in self.rows.duplicates():
            yield Fault("duplicate-example", detail=str(first)), line
        if self._html_lines:
            share = f"{self._html_lines:,} of {self.examples:,} examples"
            yield Fault("html", detail=share), self._first_html
        near = PairedRepeats(
            self._normalized_questions, self.questions.lines, self.questions.hashes
        )
        for first, line, _ in sorted(near.with_partners(2)):
            yield Fault("question-near", "messages", str(first)), line
        # Free it: the comparison with other files does not need it.
        self._normalized_questions = array("q")
        for first, _, count in sorted(self.answers.with_partners(_MANY_QUESTIONS)):
            yield Fault("answer-for-many", "messages", f"{count:,} lines"), first

    def leaks(self, train: "Contents") -> Iterator[tuple[Fault, int]]:
        """Yield a fault for each example, question and answer that `train` has too.

        An example that is in both is reported once, not also by question and answer.
        """
        same_rows = set()
        for line, train_line in self.rows.shared(train.rows):
            same_rows.add(line)
            yield Fault("leak-row", detail=f"{train.path}:{train_line}"), line
        for rule, mine, theirs in (
            ("leak-title", self.questions, train.questions),
            ("leak-answer", self.answers, train.answers),
        ):
            for line, train_line in mine.shared(theirs):
                if line not in same_rows:
                    yield Fault(rule, "messages", f"{train.path}:{train_line}"), line


def _normalized(text: str) -> str:
    """Return a text in lower case, without blanks and characters of no width."""
    text = "".join(text.lower().split())
    if not text.isascii():
        for character in _NO_WIDTH:
            text = text.replace(character, "")
    return text


def _last_text(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if message.get("role") == role:
            content = message.get("content")
            return content if isinstance(content, str) else None
    return None
