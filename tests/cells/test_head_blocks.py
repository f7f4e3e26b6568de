"""A pattern of blocks of keys for each head: when it is chosen, what it keeps, that it stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archsearch.cells.attention.attention import Attention
from archsearch.cells.attention.declared import CELLS
from archsearch.cells.attention.head_blocks import FARTHEST, HeadBlocks, heaviest
from archsearch.testing.cells import CellContract

ATTENTION = next(entry for entry in CELLS if entry.name == "attention")


class TestChosenPattern(CellContract):
    """With a pattern that every head has chosen for itself, and all that may stand beside it."""

    cell_type = replace(
        ATTENTION,
        options={
            name: replace(
                option,
                default="perhead" if name == "pattern" else option.default,
                search=option.search if name in ("block", "positions", "normaliser") else None,
                choices=None if name == "pattern" else option.choices,
                when=(),
            )
            for name, option in ATTENTION.options.items()
        },
    )

    def build(self, options, **kwargs):
        cell = super().build({"pattern": "perhead", **options}, **kwargs).eval()
        generator = torch.Generator().manual_seed(3)
        cell.blocks.chosen.copy_(torch.rand(cell.heads, FARTHEST, generator=generator) < 0.5)
        cell.blocks.chosen[:, 0] = True
        cell.blocks.calls.fill_(cell.blocks.dense)
        return cell

    def test_declaration_is_the_constructor(self):
        """That of the whole cell is checked beside the other attention cells."""


def built(**options):
    torch.manual_seed(0)
    return Attention(12, 3, pattern="perhead", **options).double()


def full(cell, x):
    """The same weights without a pattern."""
    whole = Attention(12, 3).double().eval()
    whole.load_state_dict({k: v for k, v in cell.state_dict().items() if "blocks" not in k})
    return whole(x)[0]


def test_everything_is_seen_until_the_last_call_of_many_decides():
    cell = built(dense=3, block=2, select=0.25)
    x = torch.randn(4, 40, 12, dtype=torch.float64)
    for _ in range(3):
        assert cell.blocks.chosen.all()
        torch.testing.assert_close(cell(x)[0], full(cell, x))
    assert cell.blocks.chosen.sum(1).tolist() == [5, 5, 5], "a quarter of twenty blocks"
    assert not torch.allclose(cell(x)[0], full(cell, x))
    chosen = cell.blocks.chosen.clone()
    cell(100 * x)
    assert torch.equal(cell.blocks.chosen, chosen), "and nothing after it"


def test_all_blocks_are_full_attention():
    cell = built(dense=1, select=1.0)
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    cell(x)
    torch.testing.assert_close(cell(x)[0], full(cell, x))
    torch.testing.assert_close(cell.eval()(x)[0], full(cell, x))


def test_only_training_with_gradients_is_watched():
    cell = built(dense=1, select=0.25)
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    cell.eval()(x)
    with torch.no_grad():
        cell.train()(x)
    assert cell.blocks.calls.item() == 0
    assert cell.blocks.chosen.all()
    cell(x)
    assert cell.blocks.calls.item() == 1
    assert not cell.blocks.chosen.all()


def test_a_chosen_pattern_is_a_mask_of_blocks():
    cell = built(dense=1, block=3, select=0.4, positions="none").eval()
    cell.blocks.chosen.zero_()
    for head, blocks in enumerate(([0, 2], [0], [0, 1, 5])):
        cell.blocks.chosen[head, blocks] = True
    x = torch.randn(2, 25, 12, dtype=torch.float64)
    q, k, v = cell._split(x, torch.arange(25)[None])
    at = torch.arange(25)
    read = []
    for head, blocks in enumerate(([0, 2], [0], [0, 1, 5])):
        mask = torch.isin(at[:, None] // 3 - at // 3, torch.tensor(blocks)) & (at <= at[:, None])
        scores = (q[:, head] @ k[:, head].mT / 2).masked_fill(~mask, -torch.inf)
        read.append(scores.softmax(-1) @ v[:, head])
    torch.testing.assert_close(cell(x)[0], cell.output(torch.cat(read, -1)))


def test_what_is_counted_is_the_mean_weight_of_each_block():
    blocks = HeadBlocks(2, block=2, select=0.5, dense=10)
    weights = torch.zeros(2, 2, 4, 4)
    weights[:, 0] = torch.eye(4)
    weights[:, 1, :, 0] = 1.0  # the first position: twice of the own block, twice of that before
    at = torch.arange(4).view(1, 1, 1, 4)
    blocks.watch(weights, at.mT, at)
    blocks.watch(weights, at.mT, at)
    torch.testing.assert_close(blocks.weight[:, :3], torch.tensor([[2.0, 0, 0], [1.0, 1.0, 0]]))
    # the second row begins one position later, where a block ends
    at = torch.stack([at[0], at[0] + 1])
    blocks.watch(weights, at.mT, at)
    torch.testing.assert_close(
        blocks.weight[:, :3], torch.tensor([[3.0, 0, 0], [1.375, 1.5, 0.125]])
    )


def test_the_heaviest_are_kept_and_always_the_first():
    weight = torch.tensor([[0.1, 0.5, 0.2, 0.9, 0.0], [0.6, 0.1, 0.2, 0.3, 0.0]])
    assert heaviest(weight, 0.5).int().tolist() == [[1, 0, 0, 1, 0], [1, 0, 0, 1, 0]]
    assert heaviest(weight, 0.6).int().tolist() == [[1, 1, 0, 1, 0], [1, 0, 1, 1, 0]]
    assert heaviest(weight, 0.01).sum(1).tolist() == [1, 1]
    assert heaviest(weight, 1.0).sum(1).tolist() == [4, 4], "a block without weight is not kept"


def test_more_weight_is_kept_than_by_chance():
    torch.manual_seed(0)
    weight = torch.distributions.Exponential(1.0).sample((50, 20)) ** 3
    chosen = heaviest(weight, 0.3)
    kept = (weight * chosen).sum(1) / weight.sum(1)
    assert chosen.sum(1).eq(6).all()
    assert kept.mean() > 0.6, "six of twenty at random hold 0.3"


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_a_head_that_looks_one_block_back_keeps_that_block(keep):
    """Its scores are of distance alone: highest at four, which is two blocks of two."""
    cell = built(dense=2, block=2, select=0.1, positions="relative", keep=keep)
    with torch.no_grad():
        cell.project.weight[:24] = 0.0
        cell.bias.zero_()
        cell.bias[0, 4] = 20.0
        cell.bias[1, 10] = 20.0
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    for _ in range(2):
        cell(x)
    assert cell.blocks.chosen[0].nonzero().flatten().tolist() == [0, 2]
    assert cell.blocks.chosen[1].nonzero().flatten().tolist() == [0, 5]


def test_the_pattern_travels_with_the_weights_and_a_stream_keeps_to_it():
    cell = built(dense=1, block=2, select=0.25)
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    cell(x)
    fresh = Attention(12, 3, pattern="perhead", dense=1, block=2, select=0.25).double()
    fresh.load_state_dict(cell.state_dict())
    cell, fresh = cell.eval(), fresh.eval()
    whole = cell(x)[0]
    assert torch.equal(fresh(x)[0], whole)
    state = fresh.initial_state(2)
    for t in range(30):
        y_t, state = fresh.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t])
