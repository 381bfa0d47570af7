"""Find repeated values among millions, in a dozen bytes of memory per value."""

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import compress

# Arrays of equal length: hashes, lines and, of PairedRepeats, the partners' hashes.
_Columns = Sequence["array[int]"]

# More values than this are split into parts by their hash, so that only one part
# at a time is in a dictionary.
_MOST, _PARTS = 1 << 18, 0x100


class Repeats:
    """The lines where values appear, compared by 64-bit hashes.

    Of three hundred thousand files with ten million values each, one has two
    different values with the same hash.
    """

    def __init__(self) -> None:
        self.hashes, self.lines = array("q"), array("I")
        self._columns = [self.hashes, self.lines]

    def __len__(self) -> int:
        return len(self.hashes)

    def add(self, value: Hashable, line: int) -> None:
        """Record that the value appears on this line."""
        self.extend([value], [line])

    def extend(self, values: Iterable[Hashable], lines: Iterable[int]) -> None:
        """Record that the values appear on these lines."""
        self.hashes.extend(map(hash, values))
        self.lines.extend(lines)

    def duplicates(self) -> Iterator[tuple[int, int]]:
        """Yield each line that repeats a value, and the line where it first appears."""
        parts = (p for p in self.parts(len(self)) if len({*p[0]}) < len(p[0]))
        for line, first in _matches((part, part) for part in parts):
            if line != first:
                yield line, first

    def shared(self, other: "Repeats") -> Iterator[tuple[int, int]]:
        """Yield each line whose value `other` has too, and its first line there."""
        most = max(len(self), len(other))
        return _matches(zip(self.parts(most), other.parts(most), strict=True))

    def groups(self) -> Iterator[tuple[int, int]]:
        """Yield the count and the first line of each different value."""
        for part in self.parts(len(self)):
            first = _first_lines(part)
            for code, count in Counter(part[0]).items():
                yield count, first[code]

    def distinct_and_most_frequent(self) -> tuple[int, int]:
        """Return the number of different values, and the count of the commonest."""
        counts = [Counter(hashes).values() for hashes, *_ in self.parts(len(self))]
        return sum(map(len, counts)), max(max(c, default=0) for c in counts)

    def parts(self, most: int) -> Iterator[_Columns]:
        """Yield the columns: whole, or in parts by hash if `most` is too many."""
        if most <= _MOST:
            yield self._columns
            return
        chosen = [array("I") for _ in range(_PARTS)]
        choose = [places.append for places in chosen]
        for place, code in enumerate(self.hashes):
            choose[code % _PARTS](place)
        for places in chosen:
            yield [array(c.typecode, map(c.__getitem__, places)) for c in self._columns]


class PairedRepeats(Repeats):
    """Repeats that also record a partner of each value: the question of an answer."""

    def __init__(self, *columns: "array[int]") -> None:
        """Begin with columns of hashes, lines and partners' hashes, if given."""
        super().__init__()
        self.hashes, self.lines, self.partners = columns or (
            self.hashes,
            self.lines,
            array("q"),
        )
        self._columns = [self.hashes, self.lines, self.partners]

    def add_pair(self, value: Hashable, line: int, partner: Hashable) -> None:
        """Record that the value appears on this line, with this partner."""
        self.add(value, line)
        self.partners.append(hash(partner))

    def with_partners(self, least: int) -> Iterator[tuple[int, int, int]]:
        """Yield each value that has at least this many different partners.

        Of each: its first line, the line where it reaches the number, and its count.
        """
        for hashes, lines, partners in self.parts(len(self)):
            counts = Counter(hashes).items()
            frequent = {code: count for code, count in counts if count >= least}
            rows = zip(hashes, lines, partners, strict=True)
            chosen = [*compress(rows, map(frequent.__contains__, hashes))]
            last = {code: partner for code, _, partner in chosen}
            differ = {code for code, _, partner in chosen if last[code] != partner}
            first: dict[int, int] = {}
            seen: dict[int, set[int]] = defaultdict(set)
            for code, line, partner in chosen:
                if code not in differ or len(seen[code]) == least:
                    continue
                first.setdefault(code, line)
                seen[code].add(partner)
                if len(seen[code]) == least:
                    yield first[code], line, frequent[code]


def _first_lines(columns: _Columns) -> dict[int, int]:
    """Return the first line of each hash."""
    hashes, lines, *_ = columns
    return dict(zip(reversed(hashes), reversed(lines), strict=True))


def _matches(pairs: Iterable[tuple[_Columns, _Columns]]) -> Iterator[tuple[int, int]]:
    """Yield each line of the first whose hash the second has, and its line there."""
    packed = []
    for (hashes, lines, *_), other in pairs:
        first = _first_lines(other)
        rows = zip(hashes, lines, strict=True)
        matches = (line << 32 | first[code] for code, line in rows if code in first)
        packed.append(array("Q", matches))
    for pair in heapq.merge(*packed):
        yield pair >> 32, pair & 0xFFFFFFFF
