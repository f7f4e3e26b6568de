"""Chains as plain data: skipping, repeating, counting, spelling, and their one program."""

import random

import pytest

from archsearch.adapt.chain import Chain, enumerated, prefixes, read_chain
from archsearch.adapt.program import Segment, chain_of, program
from archsearch.errors import InputError


def test_skipping_and_repeating():
    six = Chain.plain(6)
    assert six.skip(3, 2).path == (0, 1, 2, 5)
    assert six.repeat(5, 1, 1).path == (0, 1, 2, 3, 4, 5, 5)
    assert six.repeat(1, 2, 2).path == (0, 1, 2, 1, 2, 1, 2, 3, 4, 5)
    assert six.skip(0, 6) == Chain()
    for start, count in ((6, 1), (-1, 1), (5, 2), (0, 0)):
        with pytest.raises(InputError, match="has no"):
            six.skip(start, count)


def test_how_often_and_at_what_cost():
    chain = Chain((0, 1, 1, 4))
    assert chain.counts(5) == (1, 2, 0, 0, 1)
    assert chain.cost((1, 3, 1, 1, 2)) == 9
    assert Chain().cost((1, 1)) == 0


@pytest.mark.parametrize(
    ("path", "text"),
    [((), "none"), ((0, 1, 2, 5, 5), "0-2 5 5"), ((3,), "3"), ((1, 0, 1, 2), "1 0-2")],
)
def test_a_chain_and_its_spelling(path, text):
    assert str(Chain(path)) == text
    assert read_chain(text, 6) == Chain(path)


@pytest.mark.parametrize("text", ["", "0-", "0,1", "-1", "6", "0-9999", "a", "0  1", "none 1"])
def test_what_spells_no_chain_is_refused(text):
    with pytest.raises(InputError, match="chain"):
        read_chain(text, 6)


def test_all_chains_of_three_counts():
    chains = list(enumerated(4))
    assert len(set(chains)) == 3**4
    assert Chain() in chains
    assert Chain.plain(4) in chains
    assert max(map(len, chains)) == 8
    assert [chain.path for chain in enumerated(2, (0, 1))] == [(), (1,), (0,), (0, 1)]
    assert [chain.path for chain in prefixes(2)] == [(), (0,), (0, 1)]


def test_the_program_with_the_fewest_segments():
    assert program(Chain((0, 1, 2, 2, 3)), 4) == (
        Segment(0, 2, "keep"),
        Segment(2, 1, "repeat"),
        Segment(3, 1, "keep"),
    )
    # five kept positions are four and one, not one and four
    assert program(Chain.plain(5), 5) == (Segment(0, 4, "keep"), Segment(4, 1, "keep"))
    assert program(Chain((0, 1, 0, 1)), 2) == (Segment(0, 2, "repeat"),)
    assert program(Chain((0, 0, 0)), 1) is None
    assert program(Chain((1, 0)), 2) is None


def test_programs_and_chains_are_each_others_inverse():
    rng = random.Random(0)
    for _ in range(200):
        segments, start = [], 0
        while start < 7:
            length = rng.randint(1, min(4, 7 - start))
            segments.append(Segment(start, length, rng.choice(("skip", "keep", "repeat"))))
            start += length
        chain = chain_of(tuple(segments))
        found = program(chain, 7)
        assert chain_of(found) == chain
        assert len(found) <= len(segments)
