"""Block-diagonal recurrences are several small ones, and heads must divide the width."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rnn import RNN
from archsearch.errors import ArchitectureError

WIDTH, HEADS = 12, 3
SIZE = WIDTH // HEADS
CASES = [
    (RNN, {"activation": "tanh"}),
    (RNN, {"activation": "relu"}),
    (GRU, {"reset": "after"}),
    (GRU, {"reset": "before"}),
    (LSTM, {}),
    (LSTM, {"forget": "coupled", "peephole": True}),
    (LSTM, {"forget": "none", "squash": False}),
]


def title(case):
    return "-".join([case[0].__name__, *map(str, case[1].values())])


def alone(cell, make, head):
    """The cell of one head: it reads the head's part of the input only."""
    small = make(SIZE)
    gates = cell.recurrent.gates
    part = slice(head * SIZE, (head + 1) * SIZE)

    def own(rows):
        """The head's rows of every gate."""
        return rows.unflatten(0, (gates, WIDTH))[:, part].flatten(0, 1)

    with torch.no_grad():
        small.input.weight.copy_(own(cell.input.weight)[:, part])
        small.input.bias.copy_(own(cell.input.bias))
        small.recurrent.weight.copy_(own(cell.recurrent.weight))
        others = dict(cell.named_parameters())
        for name, parameter in small.named_parameters():
            if not name.startswith(("input", "recurrent")):
                parameter.copy_(others[name][part])
    return small


@pytest.mark.parametrize("case", CASES, ids=title)
def test_heads_are_small_cells_beside_each_other(case):
    torch.manual_seed(0)
    kind, options = case
    cell = kind(WIDTH, heads=HEADS, **options).double()
    blocks = torch.block_diag(*[torch.ones(SIZE, SIZE)] * HEADS)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5)
        cell.input.weight.mul_(blocks.repeat(cell.recurrent.gates, 1))
    x = torch.randn(2, 9, WIDTH, dtype=torch.float64)
    y, state = cell(x)
    for head, (part, given) in enumerate(zip(y.split(SIZE, -1), x.split(SIZE, -1), strict=True)):
        small = alone(cell, lambda width: kind(width, **options).double(), head)
        wanted, after = small(given)
        torch.testing.assert_close(part, wanted)
        for whole, small_part in zip(state, after, strict=True):
            torch.testing.assert_close(whole.split(SIZE, -1)[head], small_part)


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_heads_that_do_not_divide_the_width_are_refused(kind):
    with pytest.raises(ArchitectureError, match="take 4 heads or another width"):
        kind(WIDTH, heads=5)


def test_every_block_starts_orthogonal():
    for cell, gates in ((RNN(WIDTH, heads=HEADS), 1), (GRU(WIDTH, heads=HEADS), 3)):
        for block in cell.recurrent.weight.chunk(gates * HEADS):
            torch.testing.assert_close(block @ block.t(), torch.eye(SIZE), rtol=0, atol=1e-5)
