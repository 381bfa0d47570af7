"""Check chat files of any size, line by line in bounded memory."""

import gzip
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from exporter.chat import chat_messages
from exporter.checking.contents import Contents
from exporter.checking.fast_path import FastPath
from exporter.checking.lines import check_line, strip_stray_bytes
from exporter.checking.not_jsonl import ByteFile, not_lines, not_text
from exporter.checking.rules import Fault, OnFinding, Rules
from exporter.errors import FinetuneError, is_of_writing
from exporter.file_types import SIGNATURE_BYTES
from exporter.progress import reading, step

# A longer line is damaged: half a million tokens are more than any reader trains on.
# Parsing damaged JSON can take a hundred times its size in memory.
MAX_LINE_BYTES = 2 << 20

# The fast path tests a block of this size at once. If that fails, it tests the
# lines in this many parts, then each line alone.
_BLOCK_BYTES = 1 << 15
_PARTS = 16

OnExample = Callable[[int, list[Any]], None]


def check_file(
    path: Path, rules: Rules, on_finding: OnFinding, on_example: OnExample | None = None
) -> Contents:
    """Report every rule that a file breaks, and return the contents of the file.

    `on_example` gets the line number and the messages of each example. Memory grows
    by about fifty bytes per example and no more.

    Raises:
        FinetuneError: The file cannot be read.
    """
    checker = _Checker(path, rules, on_finding, on_example)
    try:
        with ExitStack() as stack:
            file: Any = stack.enter_context(opened := path.open("rb", _BLOCK_BYTES))
            compressed = file.peek(2)[:2] == b"\x1f\x8b"
            more = "{count:,} bytes, more than {limit:,}"
            size, name = path.stat().st_size, path.name
            checker.report_limits("bytes", "file-too-large", size, more)
            if compressed:
                name = name.removesuffix(".gz")
                named_gz = name != path.name
                checker.report(Fault("gzip" if named_gz else "gzip-misnamed"))
                checker.compressed = True
                file = stack.enter_context(gzip.open(file))
            try:
                with step(reading("checking", path, opened)):
                    if checker.read(file, name):
                        checker.report_whole(name)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                checker.report(Fault("gzip-damaged", detail=str(error)))
    except OSError as error:
        if is_of_writing(error):
            raise  # Of a finding, to standard output.
        raise FinetuneError(
            f"{path}: cannot be read: {error.strerror or error}; name a chat file, "
            "or run finetune export first"
        ) from error
    return checker.contents


def check_leaks(files: list[Contents], rules: Rules, on_finding: OnFinding) -> None:
    """Report what each validation file has in common with each training file."""
    for valid, train in product(files, files):
        if valid.is_validation and not train.is_validation:
            for fault, line in valid.leaks(train):
                rules.report(on_finding, fault, valid.path, line)


class _Checker:
    """The check of one file: reads its lines and reports their faults."""

    def __init__(
        self,
        path: Path,
        rules: Rules,
        on_finding: OnFinding,
        on_example: OnExample | None,
    ) -> None:
        self.contents = Contents(path)
        self.compressed = False
        self._rules = rules
        self._on_finding = on_finding
        self._on_example = on_example
        self._reserved = rules.reserved()
        self._fast_path = FastPath(rules.dialect, self._reserved)
        self._lines = self._bytes = 0

    def report(
        self,
        fault: Fault,
        line: int | None = None,
        readers: list[str] | None = None,
    ) -> None:
        """Report a fault of this file."""
        self._rules.report(
            self._on_finding,
            fault,
            self.contents.path,
            line,
            readers,
            unpack=self.compressed,
        )

    def report_limits(self, kind: str, rule: str, count: int, detail: str) -> None:
        """Report each limit that a count breaks; `detail` is formatted with both."""
        for limit, readers in self._rules.limits(kind):
            if count < limit if rule == "too-few-examples" else count > limit:
                fault = Fault(rule, detail=detail.format(count=count, limit=limit))
                self.report(fault, readers=readers)

    def read(self, file: ByteFile, name: str) -> bool:
        """Check every line; return whether the file is made of lines at all."""
        self._file = file
        fault = not_text(file.peek(SIGNATURE_BYTES)[:SIGNATURE_BYTES])
        if fault:
            self.report(fault)
            return False
        block = file.readline(MAX_LINE_BYTES + 1)
        while block.isspace() and len(block) < SIGNATURE_BYTES and file.peek(1):
            block += file.readline(MAX_LINE_BYTES + 1)
        fault = not_lines(block, file, name)
        if fault:
            self.report(fault, 1)
            return False
        end = b"\n"
        while block:
            self._check_lines(block)
            end = block
            block = file.read1(_BLOCK_BYTES)
            if block[-1:] not in b"\n":
                block += file.readline(MAX_LINE_BYTES + 1)
        last = len(end) - end.rfind(b"\n") - 1
        if last <= MAX_LINE_BYTES and end[-1:] not in b"\n\0\x1a":
            self.report(Fault("no-final-newline"), self._lines)
        return True

    def _check_lines(self, lines: bytes) -> None:
        """Add all lines if the fast path finds them clean; else check each in full."""
        fast = len(lines) <= MAX_LINE_BYTES and not self.contents.only_dates
        rows = self._fast_path.texts(lines) if fast else None
        if rows is None:
            each = BytesIO(lines).readlines()
            size = -(-len(each) // _PARTS)
            if len(each) == 1:
                self._check_line(lines)
            else:
                for start in range(0, len(each), size):
                    self._check_lines(b"".join(each[start : start + size]))
            return
        number = self._lines + 1
        self._lines += len(rows)
        self._bytes += len(lines)
        self.contents.add_clean(lines, rows, number)
        if self._on_example:
            for place, texts in enumerate(rows, number):
                self._on_example(place, chat_messages(*texts))

    def _check_line(self, line: bytes) -> None:
        self._lines += 1
        self._bytes += len(line)
        number = self._lines
        if len(line) > MAX_LINE_BYTES:
            self._skip_long_line(line, number)
            return
        line, stray = strip_stray_bytes(line, first=number == 1)
        for fault in stray:
            self.report(fault, number)
        if stray and not line.strip():
            return
        example, faults = check_line(line, self._rules.dialect, self._reserved)
        for fault in faults:
            self.report(fault, number)
        rows = self._fast_path.texts(line)
        self.contents.add_row(rows[0] if rows else line, faults, number)
        if example is None:
            return
        for fault in self.contents.add_example(line, example, number, self._bytes):
            self.report(fault, number)
        if self._on_example and all(isinstance(m, dict) for m in example.messages):
            self._on_example(number, example.messages)

    def _skip_long_line(self, line: bytes, number: int) -> None:
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
            self.contents.has_more_examples = True
        self.report(fault, number)
        self.contents.skipped += not padding

    def report_whole(self, name: str) -> None:
        """Report the faults of the whole file, and of its name."""
        # A pipe has no name of its own.
        if not name.endswith(".jsonl") and self.contents.path.is_file():
            self.report(Fault("file-name"))
        count = self.contents.examples
        if not count:
            self.report(Fault("empty-file"))
            return
        if not self.contents.has_more_examples:
            kind = "validation_examples" if self.contents.is_validation else "examples"
            few = "fewer than {limit} examples: {count}"
            self.report_limits(kind, "too-few-examples", count, few)
        many = "more than {limit:,} examples: {count:,}"
        self.report_limits("most_examples", "too-many-examples", count, many)
        for fault, line in self.contents.faults():
            self.report(fault, line)
