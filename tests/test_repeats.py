"""Repeats finds the same duplicates as a dictionary would, in less memory."""

from collections import Counter
from collections.abc import Hashable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.checking import repeats as module
from exporter.checking.repeats import PairedRepeats, Repeats

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
def test_duplicates_are_those_that_a_dictionary_finds(
    stood: list[Hashable], others: list[Hashable]
) -> None:
    found, counts = repeats(stood), Counter(stood)
    numbered = [*enumerate(stood, 1)]
    assert len(found) == len(stood)
    assert [*found.duplicates()] == [
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
    assert found.distinct_and_most_frequent() == (
        len(counts),
        max(counts.values(), default=0),
    )


@given(pairs=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5))))
def test_a_value_with_enough_partners_is_found(pairs: list[tuple[str, int]]) -> None:
    least, found = 3, PairedRepeats()
    for line, (value, other) in enumerate(pairs, 1):
        found.add_pair(value, line, other)
    stood: list[Hashable] = [value for value, _ in pairs]
    expected = []
    for value in {value for value, _ in pairs}:
        beside: set[int] = set()
        for line, (one, beside_it) in enumerate(pairs, 1):
            if one == value and beside_it not in beside:
                beside.add(beside_it)
                if len(beside) == least:
                    expected.append((first(stood)[value], line, stood.count(value)))
    assert sorted(found.with_partners(least)) == sorted(expected)
    assert [*found.duplicates()] == [*repeats(stood).duplicates()]
