"""Non-dominated sorting against its definition."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.select.front import front_ranks
from archsearch.spec.trial import dominates

points = st.integers(1, 4).flatmap(
    lambda size: st.lists(
        st.tuples(*[st.integers(-3, 3).map(float) for _ in range(size)]), max_size=25
    )
)


def peeled(losses: list[tuple[float, ...]]) -> list[int]:
    """The definition: take away the non-dominated points, and again."""
    ranks = [-1] * len(losses)
    rank = 0
    while -1 in ranks:
        left = [place for place, known in enumerate(ranks) if known == -1]
        front = [
            place
            for place in left
            if not any(dominates(losses[other], losses[place]) for other in left)
        ]
        for place in front:
            ranks[place] = rank
        rank += 1
    return ranks


@given(points)
@settings(max_examples=200, deadline=None)
def test_fronts_are_those_of_the_definition(losses: list[tuple[float, ...]]) -> None:
    assert front_ranks(losses) == peeled(losses)


@given(points, st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_points_does_not_matter(
    losses: list[tuple[float, ...]], rng: random.Random
) -> None:
    order = list(range(len(losses)))
    rng.shuffle(order)
    shuffled = front_ranks([losses[place] for place in order])
    ranks = front_ranks(losses)
    assert shuffled == [ranks[place] for place in order]


def test_a_known_case() -> None:
    # a staircase of three, a point behind its middle, a copy of its start, and a point behind all
    losses = [(0.0, 4.0), (2.0, 2.0), (4.0, 0.0), (2.0, 3.0), (0.0, 4.0), (5.0, 5.0)]
    assert front_ranks(losses) == [0, 0, 0, 1, 0, 2]


def test_nothing_has_no_front() -> None:
    assert front_ranks([]) == []


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        front_ranks([(0.0, float("nan"))])


def test_many_points_take_well_under_a_second_a_thousand() -> None:
    rng = random.Random(0)
    chain = [(float(i), float(i)) for i in range(2000)]
    cloud = [(rng.random(), rng.random(), rng.random()) for _ in range(2000)]
    begun = time.process_time()
    assert front_ranks(chain) == list(range(2000))
    assert max(front_ranks(cloud)) < 100
    assert time.process_time() - begun < 4
