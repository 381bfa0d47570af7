"""An exported file to upload, and its parts, which are hashed while they are read."""

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from exporter import manifest
from exporter.checking.files import check_file, check_leaks
from exporter.checking.rules import Finding, read_rules
from exporter.endpoint.client import Endpoint
from exporter.errors import FinetuneError
from exporter.files import FileFacts

MEGABYTE = 1 << 20
PURPOSE: Literal["fine-tune"] = "fine-tune"


class UploadFile(NamedTuple):
    """A file to upload; its name at the endpoint contains the hash of its bytes."""

    path: Path
    facts: FileFacts

    @property
    def remote_name(self) -> str:
        """Return the name at the endpoint, such as train-0123456789ab.jsonl."""
        return f"{self.path.stem}-{self.facts.sha256[:12]}{self.path.suffix}"

    def check_size(self, answer: object) -> None:
        """Compare the size that was sent with that in an answer, if it has one.

        Raises:
            FileChangedError: They differ.
        """
        sent, size = self.facts.bytes, getattr(answer, "bytes", None)
        if isinstance(size, int) and 0 < size != sent:
            raise FileChangedError(f"{sent:,} bytes were sent, {size:,} arrived")


class FileChangedError(FinetuneError):
    """The bytes sent are not those of the manifest."""


class FilePart(io.BufferedIOBase):
    """A part of an open file, as a file that hashes what is read from it.

    If the hash is not the expected one, the last bytes are never returned, so that no
    endpoint gets all of a changed file. `sent` is how far it was read at most. Reading
    ends when it is closed.
    """

    def __init__(self, file: BinaryIO, start: int, size: int, sha256: str) -> None:
        self._file, self._start, self._size, self._sha256 = file, start, size, sha256
        self._digest = hashlib.sha256()
        self._offset = self.sent = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, at most `size`.

        Raises:
            FileChangedError: The file has changed since it was hashed.
            ValueError: The part is closed.
        """
        if self.closed:
            raise ValueError("closed")
        if self._offset == 0:
            self._digest = hashlib.sha256()
        left = self._size - self._offset
        count = left if size is None or size < 0 else min(size, left)
        data = os.pread(self._file.fileno(), count, self._start + self._offset)
        self._digest.update(data)
        self._offset += len(data)
        complete = self.at_end() and self._digest.hexdigest() == self._sha256
        if count and not complete and (self.at_end() or not data):
            raise FileChangedError("changed while it was sent")
        self.sent = max(self.sent, self._offset)
        return data

    def seekable(self) -> bool:
        """Return true: the client retries only a file that it can seek in."""
        return True

    def tell(self) -> int:
        """Return the offset within the part."""
        return self._offset

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set the offset within the part and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._size}
        self._offset = base[whence] + offset
        return self._offset

    def rewind(self) -> BinaryIO:
        """Go to the beginning and return the part, typed as a file."""
        self._offset = 0
        return cast("BinaryIO", self)

    def at_end(self) -> bool:
        """Return whether all of it has been read."""
        return self._offset == self._size


def split(file: BinaryIO, upload: UploadFile, part_bytes: int) -> list[FilePart]:
    """Return the parts of the open file, each with its hash.

    Raises:
        FileChangedError: The file is not the one that the manifest names.
    """
    whole = hashlib.sha256()
    parts = []
    for start in range(0, upload.facts.bytes, part_bytes):
        size = min(part_bytes, upload.facts.bytes - start)
        digest = hashlib.sha256()
        for offset in range(start, start + size, MEGABYTE):
            count = min(MEGABYTE, start + size - offset)
            data = os.pread(file.fileno(), count, offset)
            digest.update(data)
            whole.update(data)
        parts.append(FilePart(file, start, size, digest.hexdigest()))
    if whole.hexdigest() != upload.facts.sha256:
        raise FileChangedError("changed since it was checked")
    return parts


def validated_files(endpoint: Endpoint, folder: Path) -> list[UploadFile]:
    """Return the training file and, if there is one, the validation file.

    Raises:
        FinetuneError: A file is missing, changed since the export, or in a dialect that
            the endpoint does not read; it breaks a rule of the endpoint's reader; or
            both files contain the same example.
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
    files = [UploadFile(folder / name, export.files[name]) for name in names]
    rules = read_rules([provider.name])
    check_leaks([check_file(f.path, rules, refuse) for f in files], rules, refuse)
    return files
