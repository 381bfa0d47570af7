"""What only a whole file shows: what repeats, and what most of its lines have."""

import re
from collections.abc import Iterator
from typing import Any

from exporter.checking.conversation import Fault
from exporter.checking.lines import Example
from exporter.checking.plain import Texts
from exporter.checking.repeats import Companions, Repeats
from exporter.checking.texts import holds_html

# Hugging Face's JSON reader takes the columns from a first chunk of this size
# and the rest of its last line (datasets 5.2.0, read and run on 2026-11-22).
FIRST_CHUNK_BYTES = 10 << 20

# Enough for every honest file; a damaged one may have a new key on each line.
_MOST_KEYS = 10_000

# The keys of nearly every example.
_PLAIN_KEYS = "messages", "messages[].role", "messages[].content"

# Of questions that came lately it is known that they are no news.
_MOST_RECENT = 10_000

# One answer to so many questions is a placeholder.
_MANY_QUESTIONS = 12

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
)


class Whole:
    """What must be remembered of a file from line to line.

    `all_dates` holds as long as no text was seen that is no date.
    """

    def __init__(self) -> None:
        self.examples = 0
        self.rows, self.questions = Repeats(), Repeats()
        self.answers, self._wordings = Companions(), Companions()
        self.all_dates = True
        self.other_format = ""
        self._has_dates = self._has_messages = False
        self._keys = set(_PLAIN_KEYS)
        self._recent: set[str] = set()
        self._html: list[int] = [0, 0]
        self._adders = self.rows.adders(), self.questions.adders()
        self._beside = self.answers.adders()

    def add(self, line: bytes, texts: Texts, number: int) -> None:
        """Take in a line that is beyond doubt."""
        _, question, answer = texts
        rows, questions = self._adders
        code = hash(texts)
        add_code, add_line = rows[code & 0xFF]
        add_code(code)
        add_line(number)
        asked = hash(question)
        add_code, add_line = questions[asked & 0xFF]
        add_code(asked)
        add_line(number)
        code = hash(answer)
        add_code, add_line, add_other = self._beside[code & 0xFF]
        add_code(code)
        add_line(number)
        add_other(asked & 0xFFFFFFFF)
        if holds_html(line):
            self._note_html(number)
        if question not in self._recent:
            self._note_wording(question, number)

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
        if holds_html(line):
            self._note_html(number)
        question = _last_text(messages, "user")
        answer = _last_text(messages, "assistant")
        if question is not None:
            self.questions.add(question, number)
            self._note_wording(question, number)
        if answer is not None:
            self.answers.add_beside(answer, number, question)

    def _note_html(self, number: int) -> None:
        first, count = self._html
        self._html = [first or number, count + 1]

    def _note_wording(self, question: str, number: int) -> None:
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        self._recent.add(question)
        wording = "".join(question.lower().split())
        self._wordings.add_beside(wording, number, question)

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
        for first, line, _ in sorted(self._wordings.beside_many(2)):
            yield Fault("question-near", "messages", str(first)), line
        for first, _, often in sorted(self.answers.beside_many(_MANY_QUESTIONS)):
            yield Fault("answer-for-many", "messages", f"{often:,} lines"), first


def _last_text(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if message.get("role") == role:
            content = message.get("content")
            return content if isinstance(content, str) else None
    return None
