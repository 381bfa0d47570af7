"""Which of millions of values come again, in a dozen bytes a value."""

import heapq
from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import compress

_Part = Sequence["array[int]"]

# Of more values only a part at a time stands in a dictionary, chosen by the hash.
_MOST, _PARTS = 1 << 18, 0x100


class Repeats:
    """The lines of values, found again by the 64 bits of their hash.

    Two different values of ten million are taken for the same once in three
    hundred thousand files.
    """

    def __init__(self) -> None:
        self.codes, self.lines = array("q"), array("I")
        self._columns = [self.codes, self.lines]

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, value: Hashable, line: int) -> None:
        """Note that the value stands on this line."""
        self.extend([value], [line])

    def extend(self, values: Iterable[Hashable], lines: Iterable[int]) -> None:
        """Note that the values stand on these lines."""
        self.codes.extend(map(hash, values))
        self.lines.extend(lines)

    def again(self) -> Iterator[tuple[int, int]]:
        """Yield each line whose value came before, and the line where it did."""
        parts = (p for p in self.parts(len(self)) if len({*p[0]}) < len(p[0]))
        for line, first in _met((part, part) for part in parts):
            if line != first:
                yield line, first

    def shared(self, other: "Repeats") -> Iterator[tuple[int, int]]:
        """Yield each line whose value the other has too, and its line there."""
        most = max(len(self), len(other))
        return _met(zip(self.parts(most), other.parts(most), strict=True))

    def groups(self) -> Iterator[tuple[int, int]]:
        """Yield of each different value how often it stands, and its first line."""
        for part in self.parts(len(self)):
            first = _first(part)
            for code, count in Counter(part[0]).items():
                yield count, first[code]

    def distinct(self) -> tuple[int, int]:
        """Return how many values differ, and how often the commonest stands."""
        counts = [Counter(codes).values() for codes, *_ in self.parts(len(self))]
        return sum(map(len, counts)), max(max(c, default=0) for c in counts)

    def parts(self, most: int) -> Iterator[_Part]:
        """Yield the columns; if `most` values are too many, in parts by the hash."""
        if most <= _MOST:
            yield self._columns
            return
        chosen = [array("I") for _ in range(_PARTS)]
        choose = [places.append for places in chosen]
        for place, code in enumerate(self.codes):
            choose[code % _PARTS](place)
        for places in chosen:
            yield [array(c.typecode, map(c.__getitem__, places)) for c in self._columns]


class Companions(Repeats):
    """Repeats that also know beside which other value each one stands."""

    def __init__(self, *columns: "array[int]") -> None:
        """Begin with hashes, lines and the hashes of others, if they are given."""
        super().__init__()
        self.codes, self.lines, self.others = columns or (
            self.codes,
            self.lines,
            array("q"),
        )
        self._columns = [self.codes, self.lines, self.others]

    def add_beside(self, value: Hashable, line: int, other: Hashable) -> None:
        """Note that the value stands on this line, beside the other one."""
        self.add(value, line)
        self.others.append(hash(other))

    def beside_many(self, least: int) -> Iterator[tuple[int, int, int]]:
        """Yield values beside so many different ones.

        Of each the first line, the line where the number is reached, and how
        often it stands in all.
        """
        for codes, lines, others in self.parts(len(self)):
            counts = Counter(codes).items()
            often = {code: count for code, count in counts if count >= least}
            rows = zip(codes, lines, others, strict=True)
            chosen = [*compress(rows, map(often.__contains__, codes))]
            last = {code: other for code, _, other in chosen}
            differ = {code for code, _, other in chosen if last[code] != other}
            first: dict[int, int] = {}
            beside: dict[int, set[int]] = defaultdict(set)
            for code, line, other in chosen:
                if code not in differ or len(beside[code]) == least:
                    continue
                first.setdefault(code, line)
                beside[code].add(other)
                if len(beside[code]) == least:
                    yield first[code], line, often[code]


def _first(part: _Part) -> dict[int, int]:
    """Return the first line of each value."""
    codes, lines, *_ = part
    return dict(zip(reversed(codes), reversed(lines), strict=True))


def _met(parts: Iterable[tuple[_Part, _Part]]) -> Iterator[tuple[int, int]]:
    """Yield each line whose value the other part has too, and its line there."""
    packed = []
    for (codes, lines, *_), other in parts:
        first = _first(other)
        stands = zip(codes, lines, strict=True)
        pairs = (line << 32 | first[code] for code, line in stands if code in first)
        packed.append(array("Q", pairs))
    for pair in heapq.merge(*packed):
        yield pair >> 32, pair & 0xFFFFFFFF
