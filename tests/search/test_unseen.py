"""No architecture is proposed twice as long as there is another one."""

from __future__ import annotations

import random

from archsearch.search.random import Random
from archsearch.search.sampler import Sampler
from archsearch.search.unseen import Unseen
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.domains import IntRange
from archsearch.spec.settings import Objective
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Range, Record, pick
from archsearch.spec.trial import Point, Trial
from archsearch.testing.toy import example_space

AIM = (Objective("error", "min"),)


class Stubborn(Sampler):
    """Proposes the same point for ever."""

    def propose(self, index: int, history: list[Trial], attempt: int = 0) -> Point:  # type: ignore[override]
        return self.space.sample(random.Random(0))


def small(widths: int) -> Space:
    """Each width with one block and with two."""

    def made(width: int, copies: int) -> Architecture:
        block = Block(Layer.of("window", size=1), gate=Layer("none"))
        return Architecture(
            width, (Stage((block,), repeat=copies),), training=Layer.of("sgd", lr=0.01)
        )

    fields = (
        ("width", Range(IntRange(1, widths))),
        ("copies", pick(map(Fixed, (1, 2)))),
    )
    return Space(Record(made, fields), example_space().catalog)


def propose_all(sampler: type[Sampler], space: Space, most: int) -> list[Architecture]:
    unseen = Unseen(sampler(space, AIM, (), 0), space, 5)
    seen: set[str] = set()
    found = []
    for index in range(most):
        proposed = unseen.propose(index, [], seen)
        if proposed is None:
            break
        assert space.architecture(proposed[0]) == proposed[1]
        seen.add(proposed[1].digest)
        found.append(proposed[1])
    return found


def test_a_finite_space_is_exhausted_and_nothing_comes_twice() -> None:
    space = small(30)
    everything = {space.architecture(point).digest for point in space.points()}
    for sampler in (Random, Stubborn):
        found = propose_all(sampler, space, 100)
        assert len(found) == 60
        assert {architecture.digest for architecture in found} == everything


def test_points_that_are_the_same_network_count_once() -> None:
    def made(width: int, empty: int) -> Architecture:
        return Architecture(width, (Stage((), repeat=empty),), training=Layer.of("sgd", lr=0.01))

    fields = (("width", Range(IntRange(1, 5))), ("empty", Range(IntRange(1, 7))))
    space = Space(Record(made, fields), example_space().catalog)
    assert space.size() == 35
    assert len(propose_all(Random, space, 100)) == 5


def test_a_large_space_helps_out_a_stubborn_sampler() -> None:
    found = propose_all(Stubborn, example_space(), 20)
    assert len({architecture.digest for architecture in found}) == 20


def test_when_all_is_seen_the_last_proposal_stands_in_a_large_space() -> None:
    class Everything(set[str]):
        def __contains__(self, digest: object) -> bool:
            return True

    space = example_space()
    assert Unseen(Random(space, AIM, (), 0), space, 5).propose(3, [], Everything()) is not None


def test_what_was_proposed_before_changes_nothing() -> None:
    space = small(40)
    points = list(space.points())
    used = Unseen(Stubborn(space, AIM, (), 0), space, 5)
    for count in (60, 5, 79, 33):
        seen = {space.architecture(point).digest for point in points[:count]}
        seen.add(space.architecture(space.sample(random.Random(0))).digest)
        fresh = Unseen(Stubborn(space, AIM, (), 0), space, 5)
        assert used.propose(count, [], seen) == fresh.propose(count, [], seen)
