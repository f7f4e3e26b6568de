"""No gradient to a state through the recurrent matrix that reads it: by hand, and what is left."""

from __future__ import annotations

import pytest
import torch
from recurrent_steps import new_state

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rnn import RNN
from archsearch.cells.recurrent.slstm import SLSTM
from archsearch.errors import ArchitectureError

WIDTH = 6
CASES = [
    (RNN, {}),
    (RNN, {"activation": "gelu", "heads": 3}),
    (GRU, {}),
    (GRU, {"reset": "before", "heads": 2}),
    (LSTM, {}),
    (LSTM, {"forget": "coupled", "peephole": True, "heads": 3}),
    (LSTM, {"forget": "none", "squash": False, "project": 0.5}),
    (SLSTM, {"heads": 2, "norm": False}),
    (SLSTM, {"heads": 1, "norm": False, "forget": "exp"}),
]


def title(case):
    return "-".join([case[0].__name__, *map(str, case[1].values())])


def made(kind, dtype=torch.float64, **options):
    torch.manual_seed(0)
    cell = kind(WIDTH, cut=True, **options).to(dtype)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cell


def started(cell, x):
    """A state with a gradient, as the cell has it, and as h and c."""
    h, c = (torch.randn(len(x), WIDTH, dtype=x.dtype).requires_grad_() for _ in range(2))
    if isinstance(cell, SLSTM):
        # c and n divided by exp(m), with m zero
        state = h, c, c.detach().square() + 1, torch.zeros_like(c)
        return state, h, state[1:3]
    return (h, c)[: len(cell.initial_state(1))], h, c


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(3, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("case", CASES, ids=title)
def test_a_cut_leaves_the_values_and_follows_its_equations_back(case, size, dtype):
    kind, options = case
    cell = made(kind, dtype, **options)
    x = torch.randn(*size, WIDTH, dtype=dtype, requires_grad=True)
    state, h, c = started(cell, x)
    parts, outputs = (x, *state[:2], *cell.parameters()), []
    y, after = cell(x, state)
    for x_t in x.unbind(1):
        h, c = new_state(cell, h, c, x_t, torch.detach)
        outputs.append(h)
    want = torch.stack(outputs, 1)
    within = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(y, want, **within)
    torch.testing.assert_close(after[0], h, **within)
    cell.cut = False
    torch.testing.assert_close(cell(x, state)[0], want, **within)
    weights = torch.randn_like(y)
    found, expected = (
        torch.autograd.grad(
            (out * weights).sum() + last.sum(), parts, materialize_grads=True, allow_unused=True
        )
        for out, last in ((y, after[0]), (want, h))
    )
    for slope, by in zip(found, expected, strict=True):
        torch.testing.assert_close(slope, by, **within)


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM, SLSTM], ids=lambda kind: kind.__name__)
def test_what_no_gate_carries_hears_nothing_of_what_came_later(kind):
    cell = made(kind, heads=2)
    x = torch.randn(2, 5, WIDTH, dtype=torch.float64, requires_grad=True)
    y = cell(x)[0]
    slope, matrix = torch.autograd.grad(y[:, -1].sum(), (x, cell.recurrent.weight))
    assert matrix.any()
    assert slope[:, -1].any()
    # a vanilla state is carried by the matrix alone
    assert slope[:, :-1].any() == (kind is not RNN)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (RNN, {"zoneout": 0.1}),
        (GRU, {"recurrent_dropout": 0.1}),
        (LSTM, {"norm": True}),
        (LSTM, {"zoneout_memory": 0.1}),
    ],
)
def test_a_cut_beside_noise_is_refused(kind, other):
    with pytest.raises(ArchitectureError, match="set those to zero or cut to false"):
        kind(WIDTH, cut=True, **other)
