"""A file to be sent, in one piece or in stretches that are read as they go."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from exporter import manifest
from exporter.checking.files import check_file
from exporter.checking.leaks import check_leaks
from exporter.checking.rules import Finding, read_rules
from exporter.display import counted
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


class Stretch(NamedTuple):
    """A part of a file, and the hash that it must have when it is sent."""

    start: int
    size: int
    sha256: str


class Sending(NamedTuple):
    """When to send in parts, and of which size; `advanced` gets each advance."""

    parts_above: int
    part_bytes: int
    advanced: Callable[[int], None]


class ChangedError(FinetuneError):
    """The bytes sent are not those of the manifest."""


class Slice(io.BufferedIOBase):
    """A stretch of an open file, which hashes what is read of it in order.

    Its last bytes are kept back where the hash is another than expected, so that
    no endpoint ever has the whole of it. Each megabyte is reported when first read.
    """

    def __init__(
        self,
        descriptor: int,
        stretch: Stretch,
        advanced: Callable[[int], None],
    ) -> None:
        self._descriptor = descriptor
        self._start, self._size, self._sha256 = stretch
        self._advanced = advanced
        self._digest = hashlib.sha256()
        self._place = 0
        self._reported = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size`.

        Raises:
            ChangedError: The file is not what it was when it was hashed.
        """
        if self._place == 0:
            self._digest = hashlib.sha256()
        left = self._size - self._place
        count = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._descriptor, count, self._start + self._place)
        self._digest.update(data)
        self._place += len(data)
        ended = self.at_end() and self._digest.hexdigest() == self._sha256
        if count and not ended and (self.at_end() or not data):
            raise ChangedError("changed while it was sent")
        news = self._place - self._reported
        if news >= MEGABYTE or (news > 0 and self.at_end()):
            self._advanced(news)
            self._reported = self._place
        return data

    def seekable(self) -> bool:
        """Return true: the client sends a part again only if it can be rewound."""
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


def stretches(descriptor: int, source: Source, part_bytes: int) -> list[Stretch]:
    """Return the parts of the file, each with its hash.

    Raises:
        ChangedError: Together they are not what the manifest names.
    """
    whole = hashlib.sha256()
    parts = []
    for start in range(0, source.facts.bytes, part_bytes):
        size = min(part_bytes, source.facts.bytes - start)
        digest = hashlib.sha256()
        for place in range(start, start + size, MEGABYTE):
            data = os.pread(descriptor, min(MEGABYTE, start + size - place), place)
            digest.update(data)
            whole.update(data)
        parts.append(Stretch(start, size, digest.hexdigest()))
    if whole.hexdigest() != source.facts.sha256:
        raise ChangedError("changed since it was looked at")
    return parts


def refuse_other_size(file: object, source: Source) -> None:
    """Compare the size that an answer names, if it names one, with that sent.

    Raises:
        ChangedError: It is another, so that it is another file.
    """
    size = getattr(file, "bytes", None)
    if isinstance(size, int) and 0 < size != source.facts.bytes:
        raise ChangedError(f"{source.facts.bytes:,} bytes were sent, {size:,} arrived")


def checked_sources(endpoint: Endpoint, folder: Path) -> list[Source]:
    """Return the training file and, if there is one, the validation file.

    Raises:
        FinetuneError: One is missing, not as it was written, too small, too large or
            in a dialect that the endpoint does not read; or a line breaks a rule of
            its reader, or stands in both files.
    """
    export, provider = manifest.read(folder), endpoint.provider
    files, wanted = export.files, provider.dialect
    if export.dialect != wanted:
        raise FinetuneError(
            f"{folder}: rows of --dialect {export.dialect}, but {provider.title} reads "
            f"{wanted}; run finetune export --dialect {wanted}"
        )
    if manifest.TRAINING not in files:
        raise FinetuneError(f"{folder}: no {manifest.TRAINING}; run finetune export")
    lines, fewest = files[manifest.TRAINING].lines, provider.limits.get("examples", 1)
    if lines < fewest:
        raise FinetuneError(
            f"{folder / manifest.TRAINING}: {counted(lines, 'example')}, but "
            f"fine-tuning takes {fewest} or more; loosen a rule and export again"
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
    manifest.verify(folder, leave_out=[manifest.CLEAN])
    _refuse_faults(sources, provider.name)
    return sources


def _refuse_faults(sources: list[Source], reader: str) -> None:
    """Refuse what the endpoint's reader would refuse, and what would leak."""
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
