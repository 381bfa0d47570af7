"""Chat files of any shape, read in bounded memory and judged line by line."""

import gzip
import re
import zlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from exporter.checking.conversation import Fault
from exporter.checking.dialects import as_messages
from exporter.checking.lines import examine, without_marks
from exporter.checking.plain import PLAIN_KEYS, Alike, is_safe, plain, texts_of
from exporter.checking.repeats import Companions, Repeats
from exporter.checking.rules import Finding, Rules
from exporter.checking.shapes import START_BYTES, shape, spread
from exporter.checking.texts import holds_html
from exporter.errors import FinetuneError
from exporter.progress import reading, step
from exporter.records import ByteFile

# Longer lines are damage: half a million tokens, while the most generous reader
# trains on 65,536. Damaged JSON can take a hundred times its size in memory.
MAX_LINE_BYTES = 2 << 20

# Hugging Face's JSON reader takes the columns from a first chunk of this size
# and the rest of its last line (datasets 5.2.0, read and run on 2026-11-22).
FIRST_CHUNK_BYTES = 10 << 20

# Enough for every honest file; a damaged one may have a new key on each line.
_MOST_KEYS = 10_000

# So many lines are asked at once whether one of them may hold harm.
_BATCH = 16
_LONG_BYTES = 1 << 16

# Of questions that came lately it is known that they are no news.
_MOST_RECENT = 10_000

# One answer to so many questions is a placeholder.
_MANY_QUESTIONS = 12

_DATE = re.compile(
    r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
)
# A file with one of these words in its name is for validation, as Hugging Face
# has it; every other one is for training.
_VALIDATION = re.compile(r"(^|[-._ ])(valid|validation|val|dev|test|eval)([-._ ]|$)")

Report = Callable[[Finding], None]
See = Callable[[int, list[Any]], None]


class Contents(NamedTuple):
    """What a file holds, for its summary and to compare it with others."""

    path: Path
    examples: int
    rows: Repeats
    questions: Repeats
    answers: Repeats


def is_validation(path: Path) -> bool:
    """Say whether the name says that the file is not for training."""
    return bool(_VALIDATION.search(path.name))


def check_file(
    path: Path, rules: Rules, report: Report, see: See | None = None
) -> Contents:
    """Report every rule that a file breaks, and return what it holds.

    `see` is given the line and the messages of each example. Memory grows with
    the file by some three dozen bytes an example only.

    Raises:
        FinetuneError: The file cannot be read.
    """
    checker = _Checker(path, rules, report, see)
    try:
        with ExitStack() as stack:
            file: Any = stack.enter_context(opened := path.open("rb"))
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            named = path.name.removesuffix(".gz") if packed else path.name
            if not named.endswith(".jsonl"):
                checker.tell(Fault("file-name"))
            checker.tell_size(path.stat().st_size)
            if packed:
                right = path.name.endswith(".gz")
                checker.tell(Fault("gzip" if right else "gzip-misnamed"))
                file = stack.enter_context(gzip.open(file))
            try:
                with step(reading("checking", path, opened)):
                    if checker.read(file):
                        checker.tell_of_the_whole()
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                checker.tell(Fault("gzip-damaged", detail=str(error)))
    except OSError as error:
        raise FinetuneError(
            f"{path}: cannot be read: {error.strerror or error}; name a chat file, "
            "or run finetune export first"
        ) from error
    return Contents(
        path, checker.examples, checker.rows, checker.questions, checker.answers
    )


class _Checker:
    """What must be remembered of a file from line to line."""

    def __init__(
        self, path: Path, rules: Rules, report: Report, see: See | None
    ) -> None:
        self.examples = 0
        self.rows = Repeats()
        self.questions = Repeats()
        self.answers = Companions()
        self._wordings = Companions()
        self._recent: set[str] = set()
        self._html_line = 0
        self._html_count = 0
        self._path = path
        self._rules = rules
        self._report = report
        self._see = see
        self._keys = set(PLAIN_KEYS)
        self._all_dates = True
        self._has_dates = False
        self._has_messages = False
        self._reserved = rules.reserved()
        self._other_format = ""

    def tell(
        self,
        fault: Fault,
        line: int | None = None,
        readers: list[str] | None = None,
    ) -> None:
        """Report a fault, if it is one for a reader asked about."""
        finding = self._rules.finding(
            fault.rule,
            file=str(self._path).encode("utf-8", "backslashreplace").decode(),
            line=line,
            key=fault.key,
            detail=fault.detail,
            readers=readers,
        )
        if finding:
            self._report(finding)

    def tell_size(self, size: int) -> None:
        """Report a file that is larger than some readers take."""
        for limit, readers in self._rules.limits("bytes"):
            if size > limit:
                detail = f"{size:,} bytes, more than {limit:,}"
                self.tell(Fault("file-too-large", detail=detail), readers=readers)

    def read(self, file: ByteFile) -> bool:
        """Judge line after line; return whether the file was one of lines."""
        other = shape(file.peek(START_BYTES)[:START_BYTES])
        if other:
            self.tell(other)
            return False
        see, recent = self._see, self._recent
        rows, questions = self.rows.adders(), self.questions.adders()
        answers = self.answers.adders()
        number, line = 0, b"\n"
        alike = Alike()
        for batch in _batches(file):
            safe = is_safe(b"".join(batch))
            before = number
            for line in batch:
                number += 1
                texts = None
                if not (see or self._all_dates):
                    texts = alike.texts(line, safe=safe)
                if (
                    texts is None
                    and not self._all_dates
                    and (messages := self._plain(line, safe=safe))
                ):
                    # The way of nearly every line; the first takes the other one.
                    alike.learn(line, messages)
                    texts = texts_of(messages)
                    if see:
                        see(number, messages)
                if texts is not None:
                    _, question, answer = texts
                    code = hash(texts)
                    add_code, add_line = rows[code & 0xFF]
                    add_code(code)
                    add_line(number)
                    asked = hash(question)
                    add_code, add_line = questions[asked & 0xFF]
                    add_code(asked)
                    add_line(number)
                    code = hash(answer)
                    add_code, add_line, add_other = answers[code & 0xFF]
                    add_code(code)
                    add_line(number)
                    add_other(asked & 0xFFFFFFFF)
                    if holds_html(line):
                        self._note_html(number)
                    if question not in recent:
                        self._note_wording(question, number)
                elif number == 1 and (fault := spread(line, file)):
                    self.tell(fault, 1)
                    return False
                else:
                    behind = sum(map(len, batch[number - before - 1 :]))
                    self._look_closer(line, number, file, file.tell() - behind)
        self.examples += len(self.rows)
        if line[-1:] not in b"\n\0\x1a" and len(line) <= MAX_LINE_BYTES:
            self.tell(Fault("no-final-newline"), number)
        return True

    def _plain(self, line: bytes, *, safe: bool) -> list[Any] | None:
        """Return the messages of a line beyond doubt, or None to look closer."""
        if self._rules.dialect == "messages":
            return plain(line, safe=safe)
        if self._reserved and self._reserved.search(line.decode(errors="ignore")):
            return None
        ours = as_messages(line, self._rules.dialect)
        return plain(ours, safe=safe) if ours else None

    def _look_closer(
        self, line: bytes, number: int, file: ByteFile, offset: int
    ) -> None:
        if len(line) > MAX_LINE_BYTES:
            self._pass_over(line, number, file)
            return
        line, marks = without_marks(line, first=number == 1)
        for mark in marks:
            self.tell(mark, number)
        if marks and not line.strip():
            return
        example, faults = examine(line, self._rules.dialect, self._reserved)
        for fault in faults:
            self.tell(fault, number)
            if fault.rule == "other-format" and not self._other_format:
                self._other_format = f"{fault.detail} on line {number}"
        if not any(fault.rule == "blank-line" for fault in faults):
            self.rows.add(_row(line), number)
        if example is None:
            return
        self._has_messages = True
        if not example.keys <= self._keys:
            self._note_keys(example.keys, number, offset)
        texts = [m.get("content") for m in example.messages if isinstance(m, dict)]
        if self._all_dates and texts:
            self._all_dates = all(
                isinstance(text, str) and _DATE.fullmatch(text) for text in texts
            )
            self._has_dates = self._all_dates
        self._note_texts(line, example.messages, number)
        if self._see and all(isinstance(m, dict) for m in example.messages):
            self._see(number, example.messages)

    def _pass_over(self, line: bytes, number: int, file: ByteFile) -> None:
        padding = not line.strip(b"\0")
        while not line.endswith(b"\n") and (rest := file.readline(len(line))):
            line = rest
            padding = padding and not line.strip(b"\0\n")
        limit = f"{MAX_LINE_BYTES >> 20} MiB"
        long = Fault("line-too-long", detail=limit)
        self.tell(Fault("nul-padding") if padding else long, number)
        self.examples += not padding

    def _note_texts(self, line: bytes, messages: list[Any], number: int) -> None:
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
        self._html_line = self._html_line or number
        self._html_count += 1

    def _note_wording(self, question: str, number: int) -> None:
        if len(self._recent) >= _MOST_RECENT:
            self._recent.clear()
        self._recent.add(question)
        wording = "".join(question.lower().split())
        self._wordings.add_beside(wording, number, question)

    def _note_keys(self, keys: frozenset[str], number: int, offset: int) -> None:
        for key in sorted(keys - self._keys):
            if offset > FIRST_CHUNK_BYTES:
                self.tell(Fault("late-key", key), number)
            if len(self._keys) < _MOST_KEYS:
                self._keys.add(key)

    def tell_of_the_whole(self) -> None:
        """Report what only the whole file shows."""
        if not self.examples:
            self.tell(Fault("empty-file"))
            return
        kind = "validation_examples" if is_validation(self._path) else "examples"
        for limit, readers in self._rules.limits(kind):
            if self.examples < limit:
                detail = f"fewer than {limit} examples: {self.examples}"
                self.tell(Fault("too-few-examples", detail=detail), readers=readers)
        for limit, readers in self._rules.limits("most_examples"):
            if self.examples > limit:
                detail = f"more than {limit:,} examples: {self.examples:,}"
                self.tell(Fault("too-many-examples", detail=detail), readers=readers)
        if self._has_dates:
            self.tell(Fault("dates-only", "messages[].content"))
        if self._has_messages and self._other_format:
            self.tell(Fault("mixed-formats", detail=self._other_format))
        for line, before in self.rows.again():
            self.tell(Fault("duplicate-example", detail=str(before)), line)
        if self._html_count:
            share = f"{self._html_count:,} of {self.examples:,} examples"
            self.tell(Fault("html", detail=share), self._html_line)
        for first, line, _ in sorted(self._wordings.beside_many(2)):
            self.tell(Fault("question-near", "messages", str(first)), line)
        for first, _, often in sorted(self.answers.beside_many(_MANY_QUESTIONS)):
            detail = f"{often:,} lines"
            self.tell(Fault("answer-for-many", "messages", detail), first)


def _batches(file: ByteFile) -> Iterator[list[bytes]]:
    """Yield lines, a few at a time; the first and a long one end theirs."""
    batch: list[bytes] = []
    most = 1
    for line in iter(partial(file.readline, MAX_LINE_BYTES + 1), b""):
        batch.append(line)
        if len(batch) == most or len(line) > min(_LONG_BYTES, MAX_LINE_BYTES):
            yield batch
            batch, most = [], _BATCH
    if batch:
        yield batch


def _row(line: bytes) -> Hashable:
    """Return what makes the line the same as another."""
    messages = plain(line)
    return line if messages is None else texts_of(messages)


def _last_text(messages: list[Any], role: str) -> str | None:
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == role:
            content = message.get("content")
            return content if isinstance(content, str) else None
    return None
