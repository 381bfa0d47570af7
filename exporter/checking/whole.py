"""What only a whole file shows: what repeats, and what most of its lines have."""

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from exporter.checking.lines import Example
from exporter.checking.plain import Texts
from exporter.checking.repeats import Companions, Repeats
from exporter.checking.rules import Fault
from exporter.checking.texts import holds_html

# Hugging Face's JSON reader takes the columns from a first chunk of this size
# and the rest of its last line (datasets 5.2.0, read and run on 2026-11-22).
FIRST_CHUNK_BYTES = 10 << 20

# Enough for every honest file; a damaged one may have a new key on each line.
_MOST_KEYS = 10_000

# The keys of nearly every example.
_PLAIN_KEYS = "messages", "messages[].role", "messages[].content"

# One answer to so many questions is a placeholder.
_MANY_QUESTIONS = 12

# A file with one of these words in its name is for validation, as Hugging Face
# has it; every other one is for training.
_VALIDATION = re.compile(r"(^|[-._ ])(valid|validation|val|dev|test|eval)([-._ ]|$)")

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
)


class Contents:
    """What a file holds: remembered from line to line, and compared with others.

    `all_dates` holds as long as no text was seen that is no date.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.examples = path, 0
        self.is_validation = bool(_VALIDATION.search(path.name))
        self.rows, self.questions = Repeats(), Repeats()
        self.answers = Companions()
        self._wordings = array("q")
        self.all_dates = True
        self.other_format = ""
        self._has_dates = self._has_messages = False
        self._keys = set(_PLAIN_KEYS)
        self._html: list[int] = [0, 0]

    def add(self, lines: bytes, rows: Sequence[Texts], number: int) -> None:
        """Take in lines that are beyond doubt; `number` is that of the first."""
        numbers = range(number, number + len(rows))
        _, questions, answers = zip(*rows, strict=True)
        self.rows.extend(rows, numbers)
        self.questions.extend(questions, numbers)
        self.answers.extend(answers, numbers)
        self.answers.others.extend(map(hash, questions))
        # All at once, which is three times as fast; none of them has a NUL.
        wordings = "".join("\0".join(questions).lower().split()).split("\0")
        self._wordings.extend(map(hash, wordings))
        self._note_html(lines, number)

    def add_example(
        self, line: bytes, example: Example, number: int, offset: int
    ) -> Iterator[Fault]:
        """Take in any other example; yield the keys that come too late."""
        self._has_messages = True
        for key in sorted(example.keys - self._keys):
            if offset > FIRST_CHUNK_BYTES:
                yield Fault("late-key", key)
            if len(self._keys) < _MOST_KEYS:
                self._keys.add(key)
        messages = [m for m in example.messages if isinstance(m, dict)]
        texts = [message.get("content") for message in messages]
        if self.all_dates and texts:
            self.all_dates = self._has_dates = all(
                isinstance(text, str) and _DATE.fullmatch(text) for text in texts
            )
        self._note_html(line, number)
        question = _last_text(messages, "user")
        answer = _last_text(messages, "assistant")
        if question is not None:
            self.questions.add(question, number)
            self._wordings.append(hash("".join(question.lower().split())))
        if answer is not None:
            self.answers.add_beside(answer, number, question)

    def _note_html(self, lines: bytes, number: int) -> None:
        if holds_html(lines):
            for place, line in enumerate(lines.split(b"\n"), number):
                if holds_html(line):
                    first, count = self._html
                    self._html = [first or place, count + 1]

    def faults(self) -> Iterator[tuple[Fault, int | None]]:
        """Yield what is wrong with the whole, and the line that shows it."""
        if self._has_dates:
            yield Fault("dates-only", "messages[].content"), None
        if self._has_messages and self.other_format:
            yield Fault("mixed-formats", detail=self.other_format), None
        for line, before in self.rows.again():
            yield Fault("duplicate-example", detail=str(before)), line
        first, count = self._html
        if count:
            share = f"{count:,} of {self.examples:,} examples"
            yield Fault("html", detail=share), first
        near = Companions(self._wordings, self.questions.lines, self.questions.codes)
        for first, line, _ in sorted(near.beside_many(2)):
            yield Fault("question-near", "messages", str(first)), line
        # Not kept for the comparison with other files.
        self._wordings = array("q")
        for first, _, often in sorted(self.answers.beside_many(_MANY_QUESTIONS)):
            yield Fault("answer-for-many", "messages", f"{often:,} lines"), first


def _last_text(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if message.get("role") == role:
            content = message.get("content")
            return content if isinstance(content, str) else None
    return None
