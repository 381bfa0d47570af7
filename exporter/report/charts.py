"""The geometry of histograms, in percent of their width and height."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporter.tokens import EDGES

# Two steps per octave: 1, 2, 3, 4, 6, 8, 11, 16, ...
_HALF_OCTAVES = sorted({round(2 ** (n / 2)) for n in range(80)})

# A range of fewer values than this has a bar per value.
_SINGLE_BARS = 24

# A limit is drawn if it is less than this many times the largest value.
_LIMIT_RANGE = 8


class Histogram(NamedTuple):
    """Bars (least, most, count, x, width, height), ticks and limits (value, x)."""

    bars: list[tuple[int, int, int, float, float, float]]
    ticks: list[tuple[int, float]]
    limits: list[tuple[int, float]]
    total: int


def histogram(
    values: Iterable[int] | Mapping[int, int], limits: Iterable[int] = ()
) -> Histogram:
    """Return the histogram of values, none negative; a long axis is logarithmic.

    A mapping gives the number of values from each of the EDGES up to the next.
    """
    counts = Counter(values)
    least, most = min(counts), max(counts)
    drawn = [limit for limit in limits if least < limit <= most * _LIMIT_RANGE]
    if most - least < _SINGLE_BARS and not drawn and not isinstance(values, Mapping):
        margin = max(0, 8 - (most - least)) // 2
        edges = [*range(max(0, least - margin), most + margin + 2)]
    else:
        steps = [0, *(EDGES if most < 64 * max(1, least) else _HALF_OCTAVES)]
        first = bisect_right(steps, least) - 1
        edges = steps[first : bisect_right(steps, max([most, *drawn])) + 1]
    heights = [0] * (len(edges) - 1)
    for value, count in counts.items():
        heights[bisect_right(edges, value) - 1] += count
    width, highest = 100 / len(heights), max(heights)
    bars = [
        (
            edges[n],
            edges[n + 1] - 1,
            count,
            round(n * width, 2),
            round(width, 2),
            max(round(100 * count / highest, 2), 1.0),
        )
        for n, count in enumerate(heights)
        if count
    ]
    # A tick is under the middle of a bar of one value, else under its beginning.
    single = edges[-1] - edges[0] == len(heights)
    places = [n for n, e in enumerate(edges[:-1]) if single or not e & (e - 1)]
    places = places[:: -(-len(places) // 6)]
    shift = width / 2 if single else 0
    ticks = [(edges[n], round(n * width + shift, 2)) for n in places]
    marks = [(limit, round(_position(limit, edges) * width, 2)) for limit in drawn]
    return Histogram(bars, ticks, marks, counts.total())


def _position(value: int, edges: list[int]) -> float:
    n = bisect_right(edges, value) - 1
    return n + (value - edges[n]) / (edges[n + 1] - edges[n])
