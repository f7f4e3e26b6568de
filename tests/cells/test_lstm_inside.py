"""What an LSTM may have within its recurrence: a projection, as torch's has it, and layer norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.cells.recurrent.lstm import LSTM

WIDTH, RANK = 7, 3


def projecting(dtype):
    """A cell and torch's own with its weights."""
    torch.manual_seed(0)
    cell = LSTM(WIDTH, project=RANK / WIDTH).to(dtype)
    nn.init.normal_(cell.input.bias)
    oracle = nn.LSTM(WIDTH, WIDTH, batch_first=True, proj_size=RANK).to(dtype)
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(cell.input.weight)
        oracle.weight_hh_l0.copy_(cell.recurrent.weight)
        oracle.weight_hr_l0.copy_(cell.recurrent.down)
        oracle.bias_ih_l0.copy_(cell.input.bias)
        oracle.bias_hh_l0.zero_()
    return cell, oracle


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("size", [(3, 11), (1, 1)], ids=str)
def test_a_projected_state_is_that_of_torch(size, dtype):
    cell, oracle = projecting(dtype)
    x = torch.randn(*size, WIDTH, dtype=dtype, requires_grad=True)
    h, c = torch.randn(2, len(x), WIDTH, dtype=dtype)
    y, (last, memory) = cell(x, (h, c))
    projected = y @ cell.recurrent.down.t()
    want, (_, left) = oracle(x, ((h @ oracle.weight_hr_l0.t())[None], c[None]))
    torch.testing.assert_close(projected, want, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(memory, left[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(last, y[:, -1])
    weights, own = torch.randn_like(want), cell.recurrent
    parts = x, cell.input.weight, own.weight, own.down, cell.input.bias
    known = [x, *(part for name, part in oracle.named_parameters() if "bias_hh" not in name)]
    order = [0, 1, 2, 4, 3]  # torch has the projection behind the biases
    found = torch.autograd.grad((projected * weights).sum(), parts)
    expected = torch.autograd.grad((want * weights).sum(), known)
    for slope, at in zip(found, order, strict=True):
        torch.testing.assert_close(slope, expected[at], rtol=1e-4, atol=1e-4)


def test_a_projection_starts_with_orthogonal_rows_and_spares_weights():
    cell = LSTM(16, project=0.5)
    assert cell.recurrent.weight.shape == (64, 8)
    torch.testing.assert_close(
        cell.recurrent.down @ cell.recurrent.down.t(), torch.eye(8), rtol=0, atol=1e-5
    )
    kept = [LSTM(16, project=share).recurrent.down for share in (0.01, 0.5)]
    assert [len(part) for part in kept] == [1, 8]


def test_normed_gates_do_not_know_how_large_weights_are():
    torch.manual_seed(0)
    cell = LSTM(WIDTH, norm=True).double()
    x = torch.randn(2, 9, WIDTH, dtype=torch.float64)
    before = cell(x)[0]
    with torch.no_grad():
        cell.input.weight.mul_(7)
        cell.recurrent.weight.mul_(0.5)
    # but for the epsilon
    torch.testing.assert_close(cell(x)[0], before, rtol=1e-2, atol=1e-3)
    with torch.no_grad():
        cell.norms.input.mul_(7)
    assert (cell(x)[0] - before).abs().max() > 0.05


def test_the_memory_itself_is_not_normed():
    cell = LSTM(WIDTH, norm=True, forget_bias=60.0)
    with torch.no_grad():
        cell.input.bias[:WIDTH] = -60.0
        c = 5 * torch.randn(2, WIDTH)
        _, (_, kept) = cell(torch.randn(2, 50, WIDTH), (torch.zeros(2, WIDTH), c))
    torch.testing.assert_close(kept, c)
