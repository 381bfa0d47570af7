"""Which of millions of values come again, in a dozen bytes a value."""

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterator


class Repeats:
    """The lines of values, found again by the 64 bits of their hash.

    Two different values of ten million are taken for the same once in three
    hundred thousand files. Values lie in buckets by their hash, so that only
    one bucket at a time need stand in a dictionary.
    """

    def __init__(self) -> None:
        self.buckets = [(array("q"), array("I")) for _ in range(0x100)]

    def __len__(self) -> int:
        return sum(len(codes) for codes, _ in self.buckets)

    def adders(self) -> list[tuple[Callable[[int], None], ...]]:
        """Return what appends a hash and a line to each bucket, to be fast."""
        return [(codes.append, lines.append) for codes, lines in self.buckets]

    def add(self, value: Hashable, line: int) -> None:
        """Note that the value stands on this line."""
        code = hash(value)
        codes, lines = self.buckets[code & 0xFF]
        codes.append(code)
        lines.append(line)

    def again(self) -> Iterator[tuple[int, int]]:
        """Yield each line whose value came before, and the line where it did."""
        packed = [self._again(codes, lines) for codes, lines in self.buckets]
        for pair in heapq.merge(*packed):
            yield pair >> 32, pair & 0xFFFFFFFF

    @staticmethod
    def _again(codes: "array[int]", lines: "array[int]") -> "array[int]":
        first: dict[int, int] = {}
        return array(
            "Q",
            (
                line << 32 | before
                for code, line in zip(codes, lines, strict=True)
                if (before := first.setdefault(code, line)) != line
            ),
        )

    def shared(self, other: "Repeats") -> Iterator[tuple[int, int]]:
        """Yield each line whose value the other has too, and its line there."""
        packed = []
        for mine, theirs in zip(self.buckets, other.buckets, strict=True):
            first = dict(zip(reversed(theirs[0]), reversed(theirs[1]), strict=True))
            packed.append(
                array(
                    "Q",
                    (
                        line << 32 | first[code]
                        for code, line in zip(*mine, strict=True)
                        if code in first
                    ),
                )
            )
        for pair in heapq.merge(*packed):
            yield pair >> 32, pair & 0xFFFFFFFF

    def groups(self) -> Iterator[tuple[int, int]]:
        """Yield of each different value how often it stands, and its first line."""
        for codes, lines in self.buckets:
            first = dict(zip(reversed(codes), reversed(lines), strict=True))
            for code, count in Counter(codes).items():
                yield count, first[code]

    def distinct(self) -> tuple[int, int]:
        """Return how many values differ, and how often the commonest stands."""
        counts = [Counter(codes) for codes, _ in self.buckets]
        return sum(map(len, counts)), max(max(c.values(), default=0) for c in counts)


class Companions(Repeats):
    """Repeats that also know beside which other value each one stands."""

    def __init__(self) -> None:
        super().__init__()
        self.others = [array("I") for _ in range(0x100)]

    def adders(self) -> list[tuple[Callable[[int], None], ...]]:
        """Return what appends a hash, a line and half a hash to each bucket."""
        return [
            (*adders, others.append)
            for adders, others in zip(super().adders(), self.others, strict=True)
        ]

    def add_beside(self, value: Hashable, line: int, other: Hashable) -> None:
        """Note that the value stands on this line, beside the other one."""
        code = hash(value)
        place = code & 0xFF
        codes, lines = self.buckets[place]
        codes.append(code)
        lines.append(line)
        self.others[place].append(hash(other) & 0xFFFFFFFF)

    def beside_many(self, least: int) -> Iterator[tuple[int, int, int]]:
        """Yield values beside so many different ones.

        Of each the first line, the line where the number is reached, and how
        often it stands in all.
        """
        for (codes, lines), others in zip(self.buckets, self.others, strict=True):
            often = Counter(codes)
            beside: dict[int, set[int]] = {}
            first: dict[int, int] = {}
            for code, line, other in zip(codes, lines, others, strict=True):
                if often[code] < least:
                    continue
                known = beside.setdefault(code, set())
                first.setdefault(code, line)
                if len(known) < least:
                    known.add(other)
                    if len(known) == least:
                        yield first[code], line, often[code]
