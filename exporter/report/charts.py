"""The geometry of a histogram, in percent of its width and height."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporter.tokens import EDGES

# Two steps an octave: 1, 2, 3, 4, 6, 8, 11, 16, ...
_HALVES = sorted({round(2 ** (n / 2)) for n in range(80)})

# So many values have a bar each; a limit that far off is not drawn.
_EACH = 24
_FAR = 8


class Histogram(NamedTuple):
    """Bars of (least, most, count, x, width, height), and (value, x) on the axis."""

    bars: list[tuple[int, int, int, float, float, float]]
    ticks: list[tuple[int, float]]
    limits: list[tuple[int, float]]
    total: int


def histogram(
    values: Iterable[int] | Mapping[int, int], limits: Iterable[int] = ()
) -> Histogram:
    """Return the bars of values, none negative; the axis is logarithmic if long.

    A mapping has how many values there are from each of the EDGES on.
    """
    counts = Counter(values)
    least, most = min(counts), max(counts)
    near = [limit for limit in limits if least < limit <= most * _FAR]
    if most - least < _EACH and not near and not isinstance(values, Mapping):
        middle = max(0, 8 - (most - least)) // 2
        edges = [*range(max(0, least - middle), most + middle + 2)]
    else:
        every = [0, *(EDGES if most < 64 * max(1, least) else _HALVES)]
        first = bisect_right(every, least) - 1
        edges = every[first : bisect_right(every, max([most, *near])) + 1]
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
    # Under the middle of a bar that is one value, else where it begins.
    single = edges[-1] - edges[0] == len(heights)
    places = [n for n, e in enumerate(edges[:-1]) if single or not e & (e - 1)]
    places = places[:: -(-len(places) // 6)]
    shift = width / 2 if single else 0
    ticks = [(edges[n], round(n * width + shift, 2)) for n in places]
    marks = [(limit, round(_place(limit, edges) * width, 2)) for limit in near]
    return Histogram(bars, ticks, marks, counts.total())


def _place(value: int, edges: list[int]) -> float:
    n = bisect_right(edges, value) - 1
    return n + (value - edges[n]) / (edges[n + 1] - edges[n])
