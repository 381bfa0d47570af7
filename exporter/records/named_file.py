"""A file in messages: its name, and the commands that fix it."""

import shlex

from exporter.errors import FinetuneError
from exporter.records.rows import CONTAINS_NUL, HALF_A_PAIR

STANDARD_INPUT = "standard input"


class NamedFile:
    """A file in errors and in commands."""

    def __init__(self, name: str) -> None:
        self.name = name
        # The name as an argument of a command that can be pasted.
        self.quoted = "FILE" if name == STANDARD_INPUT else shlex.quote(name)
        # The commands that make UTF-8 text of it, in their order.
        self.decoders: list[str] = []

    def error(self, reason: str, line: int | None = None) -> FinetuneError:
        """Return the error that says why nothing of the file can be loaded."""
        place = self.name if line is None else f"{self.name}:{line}"
        return FinetuneError(f"{place}: {reason}")

    def convert(self, command: str) -> str:
        """Return the command that writes what another one makes of the file's text."""
        first, *others = [*self.decoders, command]
        return " | ".join([f"{first} {self.quoted}", *others]) + " > NEW"

    def jq(self, program: str) -> str:
        """Return the jq command that converts the file with this program."""
        return self.convert(f"jq -c {shlex.quote(program)}")

    def text_fault(self, text: bytes) -> str:
        """Return why PostgreSQL cannot store a text of the file, or ""."""
        if b"\0" in text:
            return CONTAINS_NUL
        try:
            text.decode()
        except UnicodeDecodeError as error:
            return self.not_utf8(error)
        return ""

    def not_utf8(self, error: UnicodeDecodeError) -> str:
        """Return where a text is not UTF-8, and the command that converts it."""
        if any("UTF-16" in decoder for decoder in self.decoders):
            return HALF_A_PAIR
        return (
            f"not UTF-8: {error.reason} at byte {error.start}; for Windows text: "
            f"{self.convert('iconv -f CP1252 -t UTF-8')}"
        )
