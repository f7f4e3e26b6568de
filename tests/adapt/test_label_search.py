"""Chains searched with labels: all of them, by a tree, and as a small library."""

import itertools

import numpy as np
import pytest
import torch
from adapted_networks import example, signature, small

from archsearch.adapt.chain import Chain, enumerated
from archsearch.adapt.examples import Examples
from archsearch.adapt.labels.cover import library, searched
from archsearch.adapt.labels.graded import Graded, grade
from archsearch.adapt.labels.tree import TreeSearch, best_of, moved, rewards, upper_bound
from archsearch.adapt.walk import Walk

COSTS = (1, 1, 1, 1)


def examples(count=40, seed=0, every_step=False):
    given = signature(every_step)
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 7) if every_step else (count,)
    targets = torch.randint(3, shape, generator=generator)
    mask = torch.rand(count, 7, generator=generator) < 0.5 if every_step else None
    return Examples(example(given, count, seed=seed), None, targets, mask, given)


def planted(secret):
    """Rewards that rise as the counts of a chain come nearer to a secret."""

    def evaluate(asked):
        return [
            1 / (1 + sum(abs(a - b) for a, b in zip(c.counts(len(secret)), secret, strict=True)))
            for _, c in asked
        ]

    return evaluate


def test_grades_are_those_of_one_chain_after_another():
    walk, given = Walk(small()), examples()
    chains = [*list(enumerated(walk.depth))[::17], walk.plain]
    found = grade(walk, given, chains)
    assert found.full == 6
    for chain in chains:
        prediction, at = walk.run(chain, given.x), found.place(chain)
        assert found.costs[at] == len(chain)
        np.testing.assert_array_equal(found.said[:, at], prediction.argmax(-1))
        logs = prediction.log_softmax(-1)
        right = logs[torch.arange(40), given.targets]
        others = logs.clone()
        others[torch.arange(40), given.targets] = -torch.inf
        np.testing.assert_allclose(found.margin[:, at], right - others.amax(-1), atol=1e-5)
        np.testing.assert_array_equal(found.score[:, at], prediction.argmax(-1) == given.targets)
    assert found.right.mean() == pytest.approx(found.score.mean())


def test_at_every_step_the_counted_ones_are_judged():
    given = examples(every_step=True)
    given.mask[:, 2] = True
    prediction = torch.nn.functional.one_hot(given.targets, 3).float()
    assert (given.score(prediction) == 1).all()
    assert torch.equal(given.said(prediction), given.wanted())
    last = int(torch.nonzero(given.mask[0]).max())
    assert given.wanted()[0] == given.targets[0, last]
    spoilt = prediction.clone()
    spoilt[0, last] = spoilt[0, last].roll(1)
    assert given.said(spoilt)[0] != given.wanted()[0]
    assert given.score(spoilt)[0] == pytest.approx(1 - 1 / int(given.mask[0].sum()))
    other = torch.where(given.mask[..., None], prediction, 1 - prediction)
    assert (given.score(other) == 1).all()


def test_the_upper_bound_of_a_chain():
    assert upper_bound(3, 5, 20, 1.8, 3, 26, 28) == pytest.approx(-0.7924, abs=5e-5)


def test_moves_skip_one_or_two_and_repeat_one_once():
    found = moved(Chain((0, 1, 1, 2)), "both")
    assert Chain((1, 1, 2)) in found
    assert Chain((0, 2)) in found
    assert Chain((0, 0, 1, 1, 2)) in found
    assert Chain((0, 1, 1, 1, 2)) not in found
    assert all(len(c) > 4 for c in moved(Chain((0, 1, 1, 2)), "repeat"))
    assert all(len(c) < 4 for c in moved(Chain((0, 1, 1, 2)), "skip"))


@pytest.mark.parametrize("moves", ["both", "skip", "repeat"])
@pytest.mark.parametrize("price", [0.0, 3.0])
def test_a_tree_never_beats_all_chains_and_memory_changes_nothing(moves, price):
    walk, given = Walk(small()), examples(6)
    reward = rewards(walk, given)
    search = TreeSearch(20, price=price, moves=moves)
    tried = search.run(reward, 6, walk.depth, seed=1)
    again = TreeSearch(20, price=price, moves=moves, memoised=False)
    for one, other in zip(tried, again.run(reward, 6, walk.depth, seed=1), strict=True):
        assert one.keys() == other.keys()
        for chain, value in one.items():
            assert other[chain] == pytest.approx(value, abs=1e-6)
    counts = {"both": (0, 1, 2), "skip": (0, 1), "repeat": (1, 2)}[moves]
    every = grade(walk, given, tuple(enumerated(walk.depth, counts)))
    optimum = 1 / (1 + np.exp(-every.margin.max(1)))
    for row, known in enumerate(tried):
        assert set(known) <= set(every.chains)
        assert max(known.values()) <= optimum[row] + 1e-6


def test_a_tree_finds_what_is_there_and_is_seeded():
    secret = (0, 1, 1, 2, 1, 0, 1, 1, 2, 1)
    search = TreeSearch(300, curiosity=0.05, price=0.0)
    tried = search.run(planted(secret), 12, 10, seed=0)
    blind = TreeSearch(300, curiosity=0.05, price=0.0, stray=1.0)
    strayed = blind.run(planted(secret), 12, 10, seed=0)
    # four moves away: the plain chain has 0.2
    found, by_luck = (np.mean([max(k.values()) for k in each]) for each in (tried, strayed))
    assert found > by_luck + 0.1
    assert tried == search.run(planted(secret), 12, 10, seed=0)
    assert tried != search.run(planted(secret), 12, 10, seed=1)
    assert best_of([{Chain((0, 1)): 1.0, Chain((1,)): 1.0, Chain(): 0.5}], COSTS) == [Chain((1,))]


def test_a_price_makes_chains_shorter():
    flat = lambda asked: [0.5 for _ in asked]  # noqa: E731
    mean = {
        price: np.mean(
            [len(c) for known in TreeSearch(200, price=price).run(flat, 5, 10, 0) for c in known]
        )
        for price in (0.0, 3.0)
    }
    assert mean[3.0] < mean[0.0] - 0.5


def table(right, costs, full=4):
    """Graded chains (i,) of which is known who is right."""
    right = np.asarray(right, dtype=bool)
    chains = tuple(Chain((place,)) for place in range(right.shape[1]))
    wanted = np.zeros(len(right), dtype=int)
    said = np.where(right, 0, 1)
    return Graded(chains, np.array(costs), full, right * 1.0, right * 1.0, said, wanted)


def test_a_library_by_hand():
    right = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    given = table(right, [4, 2, 2, 9])
    plain = Chain((0,))
    assert library(given, plain, 9, 0.0) == (plain, Chain((1,)), Chain((2,)))
    assert library(given, plain, 2, 0.0) == (plain, Chain((1,)))
    # half a network's price for one of five sequences: 0.3 * 5 * 0.5 = 0.75 of one sequence
    assert library(given, plain, 9, 0.3) == (plain, Chain((1,)), Chain((2,)))
    assert library(given, plain, 9, 0.5) == (plain, Chain((1,)))
    assert library(given, plain, 9, 1.0) == (plain,)


def test_a_greedy_library_is_near_the_best_one():
    rng = np.random.default_rng(0)
    for _ in range(20):
        right = rng.random((30, 9)) < 0.3
        given = table(right, [1] * 9)
        chosen = [given.place(c) for c in library(given, Chain((0,)), 4, 0.0)]
        assert chosen[0] == 0
        best = max(
            right[:, [0, *others]].any(1).sum() for others in itertools.combinations(range(1, 9), 3)
        )
        assert right[:, chosen].any(1).sum() >= (1 - 1 / np.e) * best


def test_long_chains_stay_out_of_a_library_unless_asked_for():
    given = table([[0, 1], [0, 1]], [4, 8])
    plain = Chain((0,))
    assert library(given, plain, 4, 0.0) == (plain,)
    assert library(given, plain, 4, 0.0, longest=8) == (plain, Chain((1,)))


def test_all_chains_are_tried_of_few_positions_and_a_tree_of_many():
    walk, given = Walk(small()), examples(6)
    assert len(searched(walk, given, moves="skip").chains) == 2**6
    walk.units, walk.costs = walk.units[:2] * 5, walk.costs[:2] * 5
    found = searched(walk, given, simulations=8, seed=3)
    assert walk.plain in found.chains
    assert Chain((0, 1, 2)) in found.chains
    assert len(found.chains) < 100
