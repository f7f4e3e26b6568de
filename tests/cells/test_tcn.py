"""The reach of the temporal convolutional network, exact by gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from archsearch.cells.convolution.tcn import TCN


@pytest.mark.parametrize(
    ("kernel", "layers", "dilation", "reach"),
    [(2, 1, 2, 3), (3, 3, 2, 29), (5, 2, 3, 33), (2, 4, 1, 9), (3, 2, 3, 17)],
)
def test_the_last_output_sees_exactly_its_reach(kernel, layers, dilation, reach):
    torch.manual_seed(0)
    cell = TCN(4, kernel, layers, dilation).double()
    for part in cell.convolutions:
        nn.init.uniform_(part.weight, 0.1, 1.0)  # positive, so that no relu hides a path
    x = torch.rand(1, 50, 4, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell(x)[0][0, -1].sum(), x)
    assert cell.reach == reach
    assert torch.equal(gradient[0].abs().sum(-1) > 0, torch.arange(50) >= 50 - reach)


def test_weight_norm_is_torch_weight_norm():
    torch.manual_seed(0)
    cell = TCN(4, kernel=3, layers=1, weight_norm=True)
    x = torch.randn(2, 9, 4)
    plain = TCN(4, kernel=3, layers=1)
    plain.load_state_dict(cell.state_dict(), strict=False)
    torch.testing.assert_close(cell(x)[0], plain(x)[0])
    part = cell.convolutions[0]
    nn.init.uniform_(part.gain, 0.5, 2.0)
    oracle = weight_norm(nn.Conv1d(4, 4, 3))
    with torch.no_grad():
        oracle.parametrizations.weight.original0.copy_(part.gain)
        oracle.parametrizations.weight.original1.copy_(part.weight)
        oracle.bias.copy_(part.bias)
        got, _ = part(x, torch.zeros(2, 0, 4))
    torch.testing.assert_close(got, oracle(x.mT).mT)
