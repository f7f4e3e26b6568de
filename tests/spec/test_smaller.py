"""Smaller networks of the same kind."""

from __future__ import annotations

import random

import pytest

from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.smaller import reward, smaller

BLOCKS = tuple(Block(Layer(name)) for name in ("gru", "lstm", "rnn"))
PARENT = Architecture(
    48,
    (Stage(BLOCKS, loops=2), Stage((Block(Layer("attention")),), repeat=2)),
    sparsity=Layer.of("random", density=0.5),
)


def test_the_reward() -> None:
    found = [reward(saved, 1.0) for saved in (0.5, 0.8, 0.9, 0.95)]
    assert found == pytest.approx([0.75, 0.96, 0.99, 0.9975])
    assert reward(0.5, 0.9) == pytest.approx(0.675)


def test_some_of_the_blocks_in_their_order_at_a_share_of_the_width() -> None:
    rng = random.Random(0)
    drawn = [smaller(PARENT, rng) for _ in range(300)]
    widths, depths = set(), set()
    for child in drawn:
        names = [block.cell.name for stage in child.stages for block in stage.blocks]
        whole = iter(["gru", "lstm", "rnn", "attention", "attention"])
        assert all(name in whole for name in names), "another order, or a block that was not there"
        assert names
        assert child.width % 8 == 0
        assert child.sparsity == NONE
        assert (child.head, child.training) == (PARENT.head, PARENT.training)
        if names[0] in ("gru", "lstm", "rnn"):
            assert child.stages[0].loops == 2
        widths.add(child.width)
        depths.add(len(names))
    assert widths == {8, 16, 24, 32, 40, 48}
    assert depths == {1, 2, 3, 4, 5}


def test_small_widths_shrink_too_and_the_generator_alone_decides() -> None:
    parent = Architecture(6, (Stage(BLOCKS[:1]),))
    assert {smaller(parent, random.Random(s)).width for s in range(60)} <= {1, 2, 3, 4, 5, 6}
    assert min(smaller(parent, random.Random(s)).width for s in range(60)) == 1
    assert smaller(PARENT, random.Random(3)) == smaller(PARENT, random.Random(3))
