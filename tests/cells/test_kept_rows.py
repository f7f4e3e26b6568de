"""Cells that keep rows of the latest positions: the contract, and their equations by hand."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from archsearch.cells.memory.declared_rows import CELLS
from archsearch.cells.memory.hops import MemoryHops
from archsearch.cells.memory.relational import Relational
from archsearch.testing.cells import CellContract

DECLARED = {entry.name: entry for entry in CELLS}


class TestHops(CellContract):
    cell_type = DECLARED["hops"]

    def parameters(self, width, options):
        adjacent = options["tying"] == "adjacent"
        maps = options["hops"] + 1 if adjacent else 2
        squares = 2 + maps + (not adjacent)
        return squares * width**2 + maps * options["reach"] * width


class TestRelational(CellContract):
    cell_type = DECLARED["relational"]

    def parameters(self, width, options):
        squares = 2 + options["layers"]
        biases = 1 + options["layers"]
        return squares * width**2 + biases * width + options["reach"] * width


@pytest.fixture
def x():
    return torch.randn(2, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("tying", ["layerwise", "adjacent"])
def test_each_hop_asks_with_what_the_last_found(tying, x):
    torch.manual_seed(0)
    cell = MemoryHops(4, hops=2, reach=3, tying=tying).double()
    maps = cell.maps.weight.unflatten(0, (-1, 4))
    y, _ = cell(x)
    with torch.no_grad():
        for row in range(2):
            for t in range(6):
                memories = list(range(max(t - 2, 0), t + 1))
                u = cell.ask.weight @ x[row, t]
                for where, what in ((0, 1), (0, 1)) if tying == "layerwise" else ((0, 1), (1, 2)):
                    looks, finds = (
                        torch.stack([maps[m] @ x[row, j] + cell.ages[m, t - j] for j in memories])
                        for m in (where, what)
                    )
                    found = (looks @ u).softmax(0) @ finds
                    u = found + (u if cell.again is None else cell.again.weight @ u)
                torch.testing.assert_close(y[row, t], cell.output.weight @ u)


def test_one_hop_is_one_read_and_without_ages_the_order_means_nothing(x):
    torch.manual_seed(0)
    cell = MemoryHops(4, hops=1, reach=6).double()
    with torch.no_grad():
        cell.ages.zero_()
        one = cell(x)[0][:, -1]
        shuffled = torch.cat([x[:, [3, 0, 4, 1, 2]], x[:, 5:]], 1)
        torch.testing.assert_close(cell(shuffled)[0][:, -1], one)
        cell.ages.normal_()
        assert not torch.allclose(cell(shuffled)[0][:, -1], cell(x)[0][:, -1])


@pytest.mark.parametrize("layers", [1, 3])
def test_messages_are_made_of_pairs(layers, x):
    torch.manual_seed(0)
    cell = Relational(4, reach=3, layers=layers).double()
    y, (kept,) = cell(x)
    assert kept.shape == (2, 2, 4)
    with torch.no_grad():
        for t in range(6):
            messages = []
            for j in range(max(t - 2, 0), t + 1):
                m = torch.relu(cell.own(x[:, t]) + cell.others(x[:, j]) + cell.ages[t - j])
                for layer in cell.more:
                    m = torch.relu(layer(m))
                messages.append(m)
            mean = torch.stack(messages).mean(0)
            torch.testing.assert_close(y[:, t], cell.output(mean))


def all_pairs(cell, x, old):
    """Messages between all pairs at once, of which those out of reach are left out."""
    rows = torch.cat([old, cell.others(x)], 1)
    far = torch.arange(old.shape[1], rows.shape[1])[:, None] - torch.arange(rows.shape[1])
    seen = (far >= 0) & (far < cell.reach)
    ages = cell.ages[far.clamp(0, cell.reach - 1)]
    messages = torch.relu(cell.own(x)[:, :, None] + rows[:, None] + ages)
    for layer in cell.more:
        messages = torch.relu(layer(messages))
    mean = (messages * seen[..., None]).sum(2) / seen.sum(-1, keepdim=True)
    return cell.output(mean), rows[:, 1 - cell.reach :]


@pytest.mark.parametrize("cell", [MemoryHops(4, hops=2, reach=5), Relational(4, reach=35)])
@pytest.mark.parametrize("before", [0, 3])
def test_stretches_of_a_long_input_are_the_whole_of_it(cell, before):
    torch.manual_seed(0)
    cell = cell.double()
    x = torch.randn(2, 71, 4, dtype=torch.float64, requires_grad=True)
    old = torch.randn(2, before, cell.initial_state(1)[0].shape[-1], dtype=torch.float64)
    y, (kept,) = cell(x, (old,))
    look = cell._look if isinstance(cell, MemoryHops) else partial(all_pairs, cell)
    whole, left = look(x, old)
    torch.testing.assert_close(y, whole)
    torch.testing.assert_close(kept, left)
    weights = torch.randn_like(y)
    slopes, expected = (torch.autograd.grad((out * weights).sum(), x)[0] for out in (y, whole))
    torch.testing.assert_close(slopes, expected)
