"""Profile the training files in one pass, for the report, in bounded memory."""

import heapq
import re
import unicodedata
import zlib
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from exporter.checking.dialects import RowConversation
from exporter.checking.fast_path import Texts, texts_of
from exporter.checking.files import check_file, check_leaks
from exporter.checking.repeats import PairedRepeats, Repeats
from exporter.checking.rules import Finding, OnFinding, Rules
from exporter.report.texts import ending, is_invisible, minhash, opening, redacted
from exporter.tokens import BYTES, Tally

# How many examples are sampled at random, of the longest and of the shortest.
SAMPLE_SIZES = {"random": 30, "longest": 4, "shortest": 4}

# How many findings of a rule are kept.
_FINDINGS = 3

# The feature of an example whose answer is shorter than its question.
SHORTER = "answer shorter than its title"

# Scripts whose letters have Unicode names that begin with another word.
_SCRIPTS = {"CJK": "Han", "CANADIAN": "Canadian syllabics", "FULLWIDTH": "Latin"}
_SCRIPTS |= {"HALFWIDTH": "Katakana", "MEETEI": "Meetei Mayek", "OL": "Ol Chiki"}
_SCRIPTS |= {"IDEOGRAPHIC": "Han", "MODIFIER": ""}

# Words in the Unicode names of letters of a script; a micro sign has none of them.
_LETTER_NAME = re.compile("LETTER|SYLLABLE|IDEOGRAPH|HIEROGLYPH")

_ASCII_LETTER = re.compile("[A-Za-z]")


class Location(NamedTuple):
    """The file and the line of an example."""

    file: str
    line: int


class Group(NamedTuple):
    """Examples with a common feature or text: its name, their number, the first."""

    name: str
    examples: int
    location: Location


@dataclass
class Violation:
    """A rule that examples violate, how many times, and the first findings."""

    rule: str
    severity: str
    times: int = 0
    findings: list[Finding] = field(default_factory=list)


@cache
def _feature(character: str) -> str:
    """Return the script of a letter, an invisible character itself, else ""."""
    name = unicodedata.name(character, "")
    if character.isalpha() and _LETTER_NAME.search(name):
        word = name.partition(" ")[0].partition("-")[0]
        return _SCRIPTS.get(word, word.capitalize())
    return character if is_invisible(character) else ""


def _features(text: str) -> set[str]:
    if text.isascii() and text.isprintable():
        return {"Latin"} if _ASCII_LETTER.search(text) else set()
    return {*map(_feature, {*text})} - {""}


class FileProfile:
    """The profile of one file, which is checked while it is read."""

    def __init__(self, path: Path, rules: Rules, on_finding: OnFinding) -> None:
        self.path = path
        self.lengths = {"answers": array("I"), "titles": array("I")}
        self.tally = Tally(BYTES)
        self.openings, self.endings = Repeats(), Repeats()
        self.near_duplicates = PairedRepeats()
        # The count and the first line of each feature.
        self.features: dict[str, list[int]] = {}
        # Heaps of (rank, -line), of which the largest are kept.
        self.samples: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.contents = check_file(path, rules, on_finding, self._add)

    def _add(self, line: int, messages: list[Any]) -> None:
        _, question, answer = texts_of(messages)
        length = len(answer)
        self.lengths["answers"].append(length)
        self.lengths["titles"].append(len(question))
        self.tally.add(line, messages)
        self._sample("longest", (length, -line))
        self._sample("shortest", (-length, -line))
        self._sample("random", (-zlib.crc32(f"{question}\n{answer}".encode()), -line))
        begin, end = opening(answer), ending(answer)
        if len(begin) < length:
            self.openings.add(begin, line)
            self.endings.add(end, line)
        self.near_duplicates.add_pair(minhash(answer), line, answer)
        features = _features(question + answer)
        if length < len(question):
            features.add(SHORTER)
        for feature in features:
            self.features.setdefault(feature, [0, line])[0] += 1

    def _sample(self, kind: str, item: tuple[int, int]) -> None:
        heap = self.samples[kind]
        if len(heap) < SAMPLE_SIZES[kind]:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)

    def location(self, line: int) -> Location:
        """Return the location of an example."""
        return Location(self.path.name, line)


class Profile:
    """The profile of an export, and the findings of every reader in its files.

    Raises:
        FinetuneError: A file cannot be read.
    """

    def __init__(self, paths: Iterable[Path], rules: Rules) -> None:
        self.rules = rules
        self.refusing: set[str] = set()
        self._violations: dict[tuple[str, str], Violation] = {}
        self.files = [FileProfile(path, rules, self._add_finding) for path in paths]
        check_leaks([file.contents for file in self.files], rules, self._add_finding)

    def _add_finding(self, finding: Finding) -> None:
        rule, severity = finding.rule, finding.severity
        violation = self._violations.setdefault(
            (severity, rule), Violation(rule, severity)
        )
        violation.times += 1
        if len(violation.findings) < _FINDINGS:
            violation.findings.append(finding)
        if severity == "error":
            self.refusing.update(finding.readers)

    def violations(self) -> list[Violation]:
        """Return the rules that are violated, errors first."""
        return [self._violations[key] for key in sorted(self._violations)]

    def shared(self) -> tuple[int, int]:
        """Return how many validation examples have a title, an answer of training."""
        if len(self.files) == 1:
            return 0, 0
        train, valid = (file.contents for file in self.files)
        titles = sum(1 for _ in valid.questions.shared(train.questions))
        return titles, sum(1 for _ in valid.answers.shared(train.answers))

    def features(self) -> list[Group]:
        """Return scripts, invisible characters and SHORTER, the most frequent first."""
        groups: dict[str, Group] = {}
        for file in self.files:
            for name, (count, line) in file.features.items():
                group = groups.get(name, Group(name, 0, file.location(line)))
                groups[name] = group._replace(examples=group.examples + count)
        return sorted(groups.values(), key=lambda group: (-group.examples, group.name))

    def groups(self, kind: str) -> Iterator[Group]:
        """Yield each different "questions", "answers", "openings" or "endings"."""
        for file in self.files:
            holder = file.contents if kind in ("questions", "answers") else file
            for count, line in getattr(holder, kind).groups():
                yield Group(kind, count, file.location(line))

    def most_frequent(self, kind: str, number: int, least: int) -> list[Group]:
        """Return this many groups of at least so many examples, the largest first."""
        groups = (group for group in self.groups(kind) if group.examples >= least)
        return heapq.nsmallest(number, groups, key=lambda g: (-g.examples, g.location))

    def near_duplicates(self) -> list[tuple[int, Location, Location]]:
        """Return groups of answers that nearly repeat: their count, and two of them."""
        return sorted(
            (
                (count, file.location(first), file.location(other))
                for file in self.files
                for first, other, count in file.near_duplicates.with_partners(2)
            ),
            key=lambda group: (-group[0], *group[1:]),
        )

    def samples(self, kind: str) -> list[Location]:
        """Return the "longest", the "shortest" or "random" examples of all files."""
        found = [
            (-rank, file.location(-line))
            for file in self.files
            for rank, line in file.samples[kind]
        ]
        return [location for _, location in sorted(found)]

    def texts(self, locations: Iterable[Location]) -> dict[Location, Texts]:
        """Read prompt, question and answer of examples again, without secrets."""
        wanted = {*locations}
        last = max((location.line for location in wanted), default=0)
        found = {}
        for profile in self.files:
            with profile.path.open("rb") as file:
                for line, content in zip(range(1, last + 1), file, strict=False):
                    location = profile.location(line)
                    if location in wanted:
                        value = orjson.loads(content)
                        messages = RowConversation(value, self.rules.dialect).messages
                        system, question, answer = texts_of(messages)
                        found[location] = system, redacted(question), redacted(answer)
        return found
