"""A file to be sent, in one piece or in slices that are read as they go."""

import hashlib
import io
import os
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

    def refuse_other_size(self, file: object) -> None:
        """Compare the size that an answer names, if it names one, with that sent.

        Raises:
            ChangedError: It is another, so that it is another file.
        """
        sent, size = self.facts.bytes, getattr(file, "bytes", None)
        if isinstance(size, int) and 0 < size != sent:
            raise ChangedError(f"{sent:,} bytes were sent, {size:,} arrived")


class ChangedError(FinetuneError):
    """The bytes sent are not those of the manifest."""


class Slice(io.BufferedIOBase):
    """A part of an open file, which hashes what is read of it in order.

    Its last bytes are kept back where the hash is another than expected, so that
    no endpoint ever has the whole of it. `sent` is how far it was read at most;
    once closed it is read no further.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, sha256: str) -> None:
        self._file, self._start, self._size, self._sha256 = file, start, size, sha256
        self._digest = hashlib.sha256()
        self._place = self.sent = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size`.

        Raises:
            ChangedError: The file is not what it was when it was hashed.
            ValueError: The slice is closed.
        """
        if self.closed:
            raise ValueError("closed")
        if self._place == 0:
            self._digest = hashlib.sha256()
        left = self._size - self._place
        count = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._file.fileno(), count, self._start + self._place)
        self._digest.update(data)
        self._place += len(data)
        ended = self.at_end() and self._digest.hexdigest() == self._sha256
        if count and not ended and (self.at_end() or not data):
            raise ChangedError("changed while it was sent")
        self.sent = max(self.sent, self._place)
        return data

    def seekable(self) -> bool:
        """Return true: the client sends a part again only if it can be rewound."""
        return True

    def tell(self) -> int:
        """Return the place within the slice."""
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place within the slice and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}
        self._place = base[whence] + offset
        return self._place

    def rewound(self) -> BinaryIO:
        """Go to the beginning and return the slice as the file it acts as."""
        self._place = 0
        return cast("BinaryIO", self)

    def at_end(self) -> bool:
        """Return whether all of it has been read."""
        return self._place == self._size


def slices(file: BinaryIO, source: Source, part_bytes: int) -> list[Slice]:
    """Return the parts of the open file, each with its hash.

    Raises:
        ChangedError: Together they are not what the manifest names.
    """
    whole = hashlib.sha256()
    parts = []
    for start in range(0, source.facts.bytes, part_bytes):
        size = min(part_bytes, source.facts.bytes - start)
        digest = hashlib.sha256()
        for place in range(start, start + size, MEGABYTE):
            count = min(MEGABYTE, start + size - place)
            data = os.pread(file.fileno(), count, place)
            digest.update(data)
            whole.update(data)
        parts.append(Slice(file, start, size, digest.hexdigest()))
    if whole.hexdigest() != source.facts.sha256:
        raise ChangedError("changed since it was looked at")
    return parts


def checked_sources(endpoint: Endpoint, folder: Path) -> list[Source]:
    """Return the training file and, if there is one, the validation file.

    Raises:
        FinetuneError: One is missing, not as it was written or in a dialect that the
            endpoint does not read; or it breaks a rule of the endpoint's reader, or a
            line stands in both.
    """
    export, provider = manifest.read(folder), endpoint.provider
    if export.dialect != provider.dialect:
        raise FinetuneError(
            f"{folder}: rows of --dialect {export.dialect}, but {provider.title} reads "
            f"{provider.dialect}; run finetune export --dialect {provider.dialect}"
        )
    if manifest.TRAINING not in export.files:
        raise FinetuneError(f"{folder}: no {manifest.TRAINING}; run finetune export")
    manifest.verify(folder, leave_out=[manifest.CLEAN])

    def refuse(finding: Finding) -> None:
        if finding.severity == "error" or finding.rule in {"leak-row", "leak-title"}:
            line = f":{finding.line}" if finding.line else ""
            raise FinetuneError(
                f"{finding.file}{line}: {finding.message}; see every fault with "
                f"finetune check --for {provider.name}"
            )

    names = [n for n in (manifest.TRAINING, manifest.VALIDATION) if n in export.files]
    sources = [Source(folder / name, export.files[name]) for name in names]
    rules = read_rules([provider.name])
    check_leaks([check_file(s.path, rules, refuse) for s in sources], rules, refuse)
    return sources
