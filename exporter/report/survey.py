"""One pass over the training files: what a report shows of them, in bounded memory."""

import heapq
import re
import unicodedata
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from exporter.checking.contents import Contents
from exporter.checking.dialects import Conversation
from exporter.checking.fast_path import Texts, texts_of
from exporter.checking.files import check_file
from exporter.checking.leaks import check_leaks
from exporter.checking.repeats import PairedRepeats, Repeats
from exporter.checking.rules import Finding, Rules
from exporter.report.texts import ending, is_hidden, opening, readable, sketch
from exporter.tokens import BYTES, Tally

# How many examples of a kind are kept.
CHANCE, EXTREME, BREACHES = 30, 4, 3

# What `seen` calls an answer that is shorter than its question.
SHORTER = "answer shorter than its title"

# The scripts whose letters have names that begin otherwise.
_SCRIPTS = {"CJK": "Han", "CANADIAN": "Canadian syllabics", "FULLWIDTH": "Latin"}
_SCRIPTS |= {"HALFWIDTH": "Katakana", "MEETEI": "Meetei Mayek", "OL": "Ol Chiki"}
_SCRIPTS |= {"IDEOGRAPHIC": "Han", "MODIFIER": ""}

# What the names of letters of a script hold; a sign such as the micro is of none.
_OF_A_SCRIPT = re.compile("LETTER|SYLLABLE|IDEOGRAPH|HIEROGLYPH")

_LETTER = re.compile("[A-Za-z]")


class Place(NamedTuple):
    """Where an example stands."""

    file: str
    line: int


class Group(NamedTuple):
    """Examples that have something in common: what, how many, and where first."""

    what: str
    often: int
    place: Place


class Breach(NamedTuple):
    """A rule that a reader minds, how often it is broken, and the first findings."""

    rule: str
    severity: str
    often: int
    first: list[Finding]


class _Kinds(dict[str, str]):
    """The script of a letter, a character itself if it is hidden, else ""."""

    def __missing__(self, character: str) -> str:
        kind = character if is_hidden(character) else ""
        name = unicodedata.name(character, "")
        if character.isalpha() and _OF_A_SCRIPT.search(name):
            word = name.partition(" ")[0].partition("-")[0]
            kind = _SCRIPTS.get(word, word.capitalize())
        self[character] = kind
        return kind


class Side:
    """What one file holds."""

    contents: Contents

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lengths = {"answers": array("I"), "titles": array("I")}
        self.tally = Tally(BYTES)
        self.openings, self.endings, self.near = Repeats(), Repeats(), PairedRepeats()
        # How often, and the first line.
        self.seen: dict[str, list[int]] = {}
        self.kept: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._kind_of = _Kinds().__getitem__

    def see(self, line: int, messages: list[Any]) -> None:
        """Take an example in."""
        _, question, answer = texts_of(messages)
        length = len(answer)
        self.lengths["answers"].append(length)
        self.lengths["titles"].append(len(question))
        self.tally.add(line, messages)
        self._keep("longest", EXTREME, (length, -line))
        self._keep("shortest", EXTREME, (-length, -line))
        drawn = zlib.crc32(f"{question}\n{answer}".encode())
        self._keep("chance", CHANCE, (-drawn, -line))
        begin, end = opening(answer), ending(answer)
        if len(begin) < length:
            self.openings.add(begin, line)
            self.endings.add(end, line)
        self.near.add_pair(sketch(answer), line, answer)
        kinds = self._kinds(question + answer)
        if length < len(question):
            kinds.add(SHORTER)
        for kind in kinds:
            self.seen.setdefault(kind, [0, line])[0] += 1

    def _kinds(self, text: str) -> set[str]:
        if text.isascii() and text.isprintable():
            return {"Latin"} if _LETTER.search(text) else set()
        kinds = {*map(self._kind_of, {*text})}
        kinds.discard("")
        return kinds

    def _keep(self, kind: str, most: int, item: tuple[int, int]) -> None:
        heap = self.kept[kind]
        if len(heap) < most:
            heapq.heappush(heap, item)
        elif item > heap[0]:
            heapq.heapreplace(heap, item)

    def place(self, line: int) -> Place:
        """Return the place of an example."""
        return Place(self.path.name, line)


class Survey:
    """The files of an export, read once, with what every reader says of them.

    Raises:
        FinetuneError: A file cannot be read.
    """

    def __init__(self, paths: Iterable[Path], rules: Rules) -> None:
        self.rules = rules
        self.refusing: set[str] = set()
        self.sides = []
        self._found: dict[tuple[str, str], list[Finding]] = defaultdict(list)
        self._often: Counter[tuple[str, str]] = Counter()
        for path in paths:
            side = Side(path)
            side.contents = check_file(path, rules, self._take, side.see)
            self.sides.append(side)
        check_leaks([side.contents for side in self.sides], rules, self._take)

    def _take(self, finding: Finding) -> None:
        key = finding.severity, finding.rule
        self._often[key] += 1
        if finding.severity == "error":
            self.refusing.update(finding.readers)
        if len(self._found[key]) < BREACHES:
            self._found[key].append(finding)

    def breaches(self) -> list[Breach]:
        """Return the rules that are broken, the errors first."""
        return [
            Breach(rule, severity, self._often[severity, rule], first)
            for (severity, rule), first in sorted(self._found.items())
        ]

    def shared(self) -> tuple[int, int]:
        """Return how many validation examples have a title, an answer of training."""
        if len(self.sides) == 1:
            return 0, 0
        train, valid = (side.contents for side in self.sides)
        titles = sum(1 for _ in valid.questions.shared(train.questions))
        return titles, sum(1 for _ in valid.answers.shared(train.answers))

    def seen(self) -> list[Group]:
        """Return scripts, hidden characters and SHORTER, the most frequent first."""
        groups: dict[str, Group] = {}
        for side in self.sides:
            for what, (often, line) in side.seen.items():
                known = groups.get(what, Group(what, 0, side.place(line)))
                groups[what] = known._replace(often=known.often + often)
        return sorted(groups.values(), key=lambda group: (-group.often, group.what))

    def groups(self, what: str) -> Iterator[Group]:
        """Yield each different one of "questions", "answers", "openings", "endings"."""
        for side in self.sides:
            # Not `or`: one that holds nothing is as false as none.
            held = getattr(side if hasattr(side, what) else side.contents, what)
            for often, line in held.groups():
                yield Group(what, often, side.place(line))

    def commonest(self, what: str, most: int, least: int) -> list[Group]:
        """Return those that stand most often, the first of equals first."""
        often = (group for group in self.groups(what) if group.often >= least)
        return heapq.nsmallest(most, often, key=lambda g: (-g.often, g.place))

    def near(self) -> list[tuple[int, Place, Place]]:
        """Return groups of answers that are nearly the same: how many, and two."""
        return sorted(
            (
                (often, side.place(first), side.place(other))
                for side in self.sides
                for first, other, often in side.near.with_partners(2)
            ),
            key=lambda group: (-group[0], *group[1:]),
        )

    def kept(self, kind: str, most: int) -> list[Place]:
        """Return the "longest", the "shortest", or examples chosen by "chance"."""
        kept = [
            (k, side.place(-line)) for side in self.sides for k, line in side.kept[kind]
        ]
        return [place for _, place in sorted(kept, key=lambda k: (-k[0], k[1]))[:most]]

    def texts(self, places: Iterable[Place]) -> dict[Place, Texts]:
        """Return prompt, question and answer of examples, read again, no secret."""
        wanted = {*places}
        last = max((place.line for place in wanted), default=0)
        found = {}
        for side in self.sides:
            with side.path.open("rb") as file:
                for line, content in zip(range(1, last + 1), file, strict=False):
                    if side.place(line) in wanted:
                        turns = Conversation(orjson.loads(content), self.rules.dialect)
                        system, question, answer = texts_of(turns.messages)
                        place = side.place(line)
                        found[place] = system, readable(question), readable(answer)
        return found
