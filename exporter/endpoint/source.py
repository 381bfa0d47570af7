"""A file to be sent, in one piece or in stretches that are read as they go."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from exporter import manifest
from exporter.checking.files import check_file
from exporter.checking.leaks import check_leaks
from exporter.checking.rules import Finding, read_rules
from exporter.endpoint.client import Endpoint
from exporter.errors import FinetuneError
from exporter.files import FileFacts

MEGABYTE = 1 << 20
PURPOSE: Literal["fine-tune"] = "fine-tune"


class Source(NamedTuple):
    """A file to be sent; its name there carries the hash of its bytes."""

    path: Path
    facts: FileFacts

    @property
    def name(self) -> str:
        """Return the name at the endpoint, such as train-0123456789ab.jsonl."""
        return f"{self.path.stem}-{self.facts.sha256[:12]}{self.path.suffix}"


class Sending(NamedTuple):
    """How to send: from which size on in parts, and who hears of each advance."""

    parts_above: int
    part_bytes: int
    advanced: Callable[[int], None]
    say: Callable[[str], None]


class Slice(io.BufferedIOBase):
    """A stretch of an open file, which reports each megabyte when first read."""

    def __init__(
        self, descriptor: int, start: int, size: int, advanced: Callable[[int], None]
    ) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size = size
        self._advanced = advanced
        self._place = 0
        self._reported = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size`."""
        left = self._size - self._place
        count = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._descriptor, count, self._start + self._place)
        self._place += len(data)
        news = self._place - self._reported
        if news >= MEGABYTE or (news > 0 and self.at_end()):
            self._advanced(news)
            self._reported = self._place
        return data

    def readable(self) -> bool:
        """Return true."""
        return True

    def seekable(self) -> bool:
        """Return true."""
        return True

    def tell(self) -> int:
        """Return the place within the stretch."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place within the stretch and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}
        self._place = base[whence] + offset
        return self._place

    def rewound(self) -> BinaryIO:
        """Go to the beginning and return the stretch as the file it acts as."""
        self._place = 0
        return cast("BinaryIO", self)

    def at_end(self) -> bool:
        """Return whether all of it has been read."""
        return self._place == self._size


def checked_sources(endpoint: Endpoint, folder: Path) -> list[Source]:
    """Return the training file and, if there is one, the validation file.

    Raises:
        FinetuneError: One is missing, too small or too large for the endpoint.
    """
    files = manifest.read(folder).files
    if manifest.TRAINING not in files:
        raise FinetuneError(f"{folder}: no {manifest.TRAINING}; run finetune export")
    lines = files[manifest.TRAINING].lines
    provider = endpoint.provider
    fewest = provider.limits.get("examples", 1)
    if lines < fewest:
        raise FinetuneError(
            f"{folder / manifest.TRAINING}: {lines} examples, but fine-tuning takes "
            f"{fewest} or more; loosen a rule and export again"
        )
    sources = [
        Source(folder / name, files[name])
        for name in (manifest.TRAINING, manifest.VALIDATION)
        if name in files
    ]
    for source in sources:
        limit = provider.limits.get("bytes", source.facts.bytes)
        if source.facts.bytes > limit:
            raise FinetuneError(
                f"{source.path}: {source.facts.bytes / MEGABYTE:,.0f} MB, but "
                f"{provider.title} takes {limit / MEGABYTE:,.0f}; tighten a rule and "
                "export again"
            )
    return sources


def refuse_faults(sources: list[Source], reader: str) -> None:
    """Refuse what the endpoint's reader would refuse, and what would leak.

    Raises:
        FinetuneError: A line breaks a rule, or an example or a question of the
            validation file stands in training.
    """
    faults: list[Finding] = []

    def take(finding: Finding) -> None:
        refused = finding.severity == "error"
        if not faults and (refused or finding.rule in {"leak-row", "leak-title"}):
            faults.append(finding)

    rules = read_rules([reader])
    contents = [check_file(source.path, rules, take) for source in sources]
    check_leaks(contents, rules, take)
    for fault in faults:
        raise FinetuneError(
            f"{fault.file}:{fault.line or 1}: {fault.message}; see every fault with "
            f"finetune check --for {reader}"
        )
