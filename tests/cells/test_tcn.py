"""The reach of the temporal convolutional network, exact by gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d
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


def of_positive_weights(dropout, layers=1):
    torch.manual_seed(0)
    cell = TCN(4, kernel=3, layers=layers, dropout=dropout)
    for part in cell.convolutions:
        nn.init.uniform_(part.weight, 0.1, 1.0)
    return cell


@pytest.mark.parametrize("dropout", [0.1, 0.5])
def test_training_drops_whole_channels_and_scales_the_rest(dropout):
    cell = of_positive_weights(dropout)
    # every row draws its own channels
    x = torch.rand(1, 9, 4).expand(4000, -1, -1)
    with torch.no_grad():
        y = cell(x)[0]
        silent = y == x
        assert torch.equal(silent.any(1), silent.all(1))
        share = silent[:, 0].float().mean().item()
        # dropped itself, or all four that it reads
        assert abs(share - dropout - (1 - dropout) * dropout**4) < 0.02
        # nothing is below zero, so that all is linear and the mean is what evaluation gives
        whole = cell.eval()(x[:1])[0]
    torch.testing.assert_close(y.mean(0, keepdim=True), whole, rtol=0.05, atol=0)
    assert torch.equal(whole, of_positive_weights(0.0)(x[:1])[0])


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 11)])
def test_training_is_its_equations_with_the_channels_drawn(rows, length):
    cell = TCN(16, kernel=2, layers=2, dropout=0.4)
    x = torch.randn(rows, length, 16, requires_grad=True)
    torch.manual_seed(3)
    y = cell(x)[0]
    torch.manual_seed(3)
    masks = [torch.empty(rows, 1, 16).bernoulli_(0.6) / 0.6 for _ in range(4)]
    h, inner = x.mT, x.mT
    for index, (part, mask) in enumerate(zip(cell.convolutions, masks, strict=True)):
        padded = nn.functional.pad(inner, (part.past, 0))
        inner = conv1d(padded, part.weight, part.bias, dilation=part.dilation).relu() * mask.mT
        if index % 2:
            h = inner = (h + inner).relu()
    torch.testing.assert_close(y, h.mT)
    weight, wanted = torch.randn(rows, length, 16), [x, *cell.parameters()]
    plain = torch.autograd.grad((h.mT * weight).sum(), wanted)
    for got, want in zip(torch.autograd.grad((y * weight).sum(), wanted), plain, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)
