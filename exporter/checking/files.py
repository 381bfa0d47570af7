"""Chat files of any shape, read in bounded memory and judged line by line."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

from exporter.chat import chat_messages
from exporter.checking.lines import examine, without_marks
from exporter.checking.not_jsonl import ByteFile, not_lines, not_text
from exporter.checking.plain import Plain
from exporter.checking.rules import Fault, Finding, Rules
from exporter.checking.whole import Contents
from exporter.errors import FinetuneError
from exporter.file_types import SIGNATURE_BYTES
from exporter.progress import reading, step

# Longer lines are damage: half a million tokens, while the most generous reader
# trains on 65,536. Damaged JSON can take a hundred times its size in memory.
MAX_LINE_BYTES = 2 << 20

# So much is looked at at once; of lines that are in doubt a part, then each.
_BLOCK_BYTES = 1 << 15
_PARTS = 16

Report = Callable[[Finding], None]
See = Callable[[int, list[Any]], None]


def check_file(
    path: Path, rules: Rules, report: Report, see: See | None = None
) -> Contents:
    """Report every rule that a file breaks, and return what it holds.

    `see` is given the line and the messages of each example. Memory grows with
    the file by some fifty bytes an example only.

    Raises:
        FinetuneError: The file cannot be read.
    """
    checker = _Checker(path, rules, report, see)
    try:
        with ExitStack() as stack:
            file: Any = stack.enter_context(opened := path.open("rb", _BLOCK_BYTES))
            packed = file.peek(2)[:2] == b"\x1f\x8b"
            more = "{count:,} bytes, more than {limit:,}"
            size, named = path.stat().st_size, path.name
            checker.report_limits("bytes", "file-too-large", size, more)
            if packed:
                named = named.removesuffix(".gz")
                right = named != path.name
                checker.report(Fault("gzip" if right else "gzip-misnamed"))
                file = stack.enter_context(gzip.open(file))
            try:
                with step(reading("checking", path, opened)):
                    if checker.read(file):
                        checker.report_whole(named)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                checker.report(Fault("gzip-damaged", detail=str(error)))
    except OSError as error:
        raise FinetuneError(
            f"{path}: cannot be read: {error.strerror or error}; name a chat file, "
            "or run finetune export first"
        ) from error
    return checker.contents


class _Checker:
    """A file that is read, and to whom its faults are reported."""

    def __init__(
        self, path: Path, rules: Rules, report: Report, see: See | None
    ) -> None:
        self.contents = Contents(path)
        self._path = path
        self._rules = rules
        self._report = report
        self._see = see
        self._reserved = rules.reserved()
        self._plain = Plain(rules.dialect, self._reserved)
        self._lines = self._bytes = 0

    def report(
        self,
        fault: Fault,
        line: int | None = None,
        readers: list[str] | None = None,
    ) -> None:
        """Report a fault, if it is one for a reader asked about."""
        finding = self._rules.finding(fault, self._path, line, readers)
        if finding:
            self._report(finding)

    def report_limits(self, kind: str, rule: str, count: int, detail: str) -> None:
        """Report a count beyond what some readers take; `detail` names both."""
        for limit, readers in self._rules.limits(kind):
            if count < limit if rule == "too-few-examples" else count > limit:
                fault = Fault(rule, detail=detail.format(count=count, limit=limit))
                self.report(fault, readers=readers)

    def read(self, file: ByteFile) -> bool:
        """Judge line after line; return whether the file was one of lines."""
        self._file = file
        other = not_text(file.peek(SIGNATURE_BYTES)[:SIGNATURE_BYTES])
        if other:
            self.report(other)
            return False
        block = file.readline(MAX_LINE_BYTES + 1)
        while block.isspace() and len(block) < SIGNATURE_BYTES and file.peek(1):
            block += file.readline(MAX_LINE_BYTES + 1)
        torn = not_lines(block, file)
        if torn:
            self.report(torn, 1)
            return False
        end = b"\n"
        while block:
            self._judge(block)
            end = block
            block = file.read1(_BLOCK_BYTES)
            if block[-1:] not in b"\n":
                block += file.readline(MAX_LINE_BYTES + 1)
        self.contents.examples += len(self.contents.rows)
        last = len(end) - end.rfind(b"\n") - 1
        if last <= MAX_LINE_BYTES and end[-1:] not in b"\n\0\x1a":
            self.report(Fault("no-final-newline"), self._lines)
        return True

    def _judge(self, lines: bytes) -> None:
        """Take lines in if all are beyond doubt, as nearly always; else look closer."""
        short = len(lines) <= MAX_LINE_BYTES and not self.contents.all_dates
        rows = self._plain.texts(lines) if short else None
        if rows is None:
            each = BytesIO(lines).readlines()
            size = -(-len(each) // _PARTS)
            if len(each) == 1:
                self._look_closer(lines)
            else:
                for start in range(0, len(each), size):
                    self._judge(b"".join(each[start : start + size]))
            return
        number = self._lines + 1
        self._lines += len(rows)
        self._bytes += len(lines)
        self.contents.add(lines, rows, number)
        if self._see:
            for place, texts in enumerate(rows, number):
                self._see(place, chat_messages(*texts))

    def _look_closer(self, line: bytes) -> None:
        self._lines += 1
        self._bytes += len(line)
        number = self._lines
        if len(line) > MAX_LINE_BYTES:
            self._pass_over(line, number)
            return
        line, marks = without_marks(line, first=number == 1)
        for mark in marks:
            self.report(mark, number)
        if marks and not line.strip():
            return
        example, faults = examine(line, self._rules.dialect, self._reserved)
        for fault in faults:
            self.report(fault, number)
            if fault.rule == "other-format" and not self.contents.other_format:
                self.contents.other_format = f"{fault.detail} on line {number}"
        if not any(fault.rule == "blank-line" for fault in faults):
            rows = self._plain.texts(line)
            self.contents.rows.add(rows[0] if rows else line, number)
        if example is None:
            return
        for fault in self.contents.add_example(line, example, number, self._bytes):
            self.report(fault, number)
        if self._see and all(isinstance(m, dict) for m in example.messages):
            self._see(number, example.messages)

    def _pass_over(self, line: bytes, number: int) -> None:
        padding = not line.strip(b"\0")
        while not line.endswith(b"\n") and (rest := self._file.readline(len(line))):
            line = rest
            self._bytes += len(line)
            padding = padding and not line.strip(b"\0\n")
        fault = Fault("line-too-long", detail=f"{MAX_LINE_BYTES >> 20} MiB")
        if padding:
            fault = Fault("nul-padding")
        elif b"}\r{" in line:
            fault = Fault("line-separator", detail="U+000D")
        self.report(fault, number)
        self.contents.examples += not padding

    def report_whole(self, name: str) -> None:
        """Report what only the whole file shows, and a name that is none of one."""
        if not name.endswith(".jsonl"):
            self.report(Fault("file-name"))
        count = self.contents.examples
        if not count:
            self.report(Fault("empty-file"))
            return
        kind = "validation_examples" if self.contents.is_validation else "examples"
        few = "fewer than {limit} examples: {count}"
        self.report_limits(kind, "too-few-examples", count, few)
        many = "more than {limit:,} examples: {count:,}"
        self.report_limits("most_examples", "too-many-examples", count, many)
        for fault, line in self.contents.faults():
            self.report(fault, line)
