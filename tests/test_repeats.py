"""What comes again is found as a dictionary would find it, in a dozen bytes a value."""

from collections import Counter
from collections.abc import Hashable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.checking import repeats as module
from exporter.checking.repeats import Companions, Repeats

values = st.lists(st.sampled_from([*"abcde", *range(0, 2048, 256), None]))


def repeats(stood: list[Hashable]) -> Repeats:
    found = Repeats()
    for line, value in enumerate(stood, 1):
        found.add(value, line)
    return found


def first(stood: list[Hashable]) -> dict[Hashable, int]:
    return {value: stood.index(value) + 1 for value in stood}


@pytest.fixture(params=["at once", "in parts"], autouse=True, scope="module")
def in_parts(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in parts":
            patch.setattr(module, "_MOST", 2)
        yield


@given(stood=values, others=values)
def test_lines_are_found_again(stood: list[Hashable], others: list[Hashable]) -> None:
    found, counts = repeats(stood), Counter(stood)
    numbered = [*enumerate(stood, 1)]
    assert len(found) == len(stood)
    assert [*found.again()] == [
        (line, first(stood)[value])
        for line, value in numbered
        if first(stood)[value] < line
    ]
    assert [*found.shared(repeats(others))] == [
        (line, first(others)[value]) for line, value in numbered if value in others
    ]
    assert sorted(found.groups()) == sorted(
        (count, first(stood)[value]) for value, count in counts.items()
    )
    assert found.distinct() == (len(counts), max(counts.values(), default=0))


@given(pairs=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5))))
def test_a_value_beside_so_many_others_is_found(pairs: list[tuple[str, int]]) -> None:
    least, found = 3, Companions()
    for line, (value, other) in enumerate(pairs, 1):
        found.add_beside(value, line, other)
    stood: list[Hashable] = [value for value, _ in pairs]
    expected = []
    for value in {value for value, _ in pairs}:
        beside: set[int] = set()
        for line, (one, beside_it) in enumerate(pairs, 1):
            if one == value and beside_it not in beside:
                beside.add(beside_it)
                if len(beside) == least:
                    expected.append((first(stood)[value], line, stood.count(value)))
    assert sorted(found.beside_many(least)) == sorted(expected)
    assert [*found.again()] == [*repeats(stood).again()]
