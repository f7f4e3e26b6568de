"""Kolmogorov-Arnold layers whose bumps an attention reduces, against a plain form of the paper."""

import math

import pytest
import torch
from torch import nn

from archsearch.blocks.channels.spline_channels import AFKAN, COMBINED, SIDES

# of a = 0.7 and b = 0.2
KNOWN = {
    "quad1": 0.0196,
    "quad2": 0.14 + 0.49 + 0.04,
    "sum": 0.9,
    "prod": 0.14,
    "sum_prod": 1.04,
    "cubic1": 0.9 * 0.53,
    "cubic2": 0.002744,
}


def test_combinations_are_those_of_the_paper():
    assert set(KNOWN) == set(COMBINED)
    a, b = torch.tensor(0.7), torch.tensor(0.2)
    for name, combined in COMBINED.items():
        assert combined(a, b).item() == pytest.approx(KNOWN[name], abs=1e-6)
        torch.testing.assert_close(combined(a, b), combined(b, a))


@pytest.mark.parametrize("combined", COMBINED)
@pytest.mark.parametrize("side", SIDES)
def test_it_is_its_plain_form(side, combined):
    torch.manual_seed(0)
    width, grid, order = 4, 5, 3
    mixer = AFKAN(width, grid, order, side=side, combined=combined, base=True).double()
    with torch.no_grad():
        mixer.temperature.fill_(1.7)
        mixer.score.normal_()
    x = torch.randn(width, dtype=torch.float64)
    act, join = SIDES[side], COMBINED[combined]
    u = torch.sigmoid(x / (x.square().mean() + 1e-6).sqrt())
    bumps = torch.zeros(width, grid + order, dtype=torch.float64)
    for i in range(width):
        for m in range(grid + order):
            start = (m - order) / grid
            end = start + (order + 1) / grid
            bumps[i, m] = join(act(u[i] - start), act(end - u[i]))
    bumps = (bumps - bumps.min()) / (bumps.max() - bumps.min() + 1e-6)
    scores = [(bumps[i] @ mixer.score).item() / 1.7 for i in range(width)]
    total = sum(math.exp(score) for score in scores)
    weights = torch.tensor([math.exp(score) / total for score in scores], dtype=torch.float64)
    features = (bumps * weights[:, None]).sum(1)
    centred = (features - features.mean()) / (features.var(correction=0) + 1e-5).sqrt()
    expected = mixer.out(act(centred)) + mixer.base(nn.functional.silu(x))
    torch.testing.assert_close(mixer(x), expected, rtol=1e-5, atol=1e-5)


def test_a_temperature_below_one_is_one():
    torch.manual_seed(0)
    mixer, x = AFKAN(5), torch.randn(3, 5)
    with torch.no_grad():
        mixer.temperature.fill_(1.0)
        one = mixer(x)
        mixer.temperature.fill_(0.01)
        assert torch.equal(mixer(x), one)


def test_it_has_the_weights_of_a_linear_map_and_a_few_more():
    count = sum(p.numel() for p in AFKAN(32, 5, 3).parameters())
    assert count == 32 * 32 + 32 + 3 * 32 + 3 * 8 + 1
    with_base = sum(p.numel() for p in AFKAN(32, 5, 3, base=True).parameters())
    assert with_base - count == 32 * 32 + 32


@pytest.mark.parametrize("combined", ["quad1", "sum"])
def test_it_fits_a_sine(combined):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 16), AFKAN(16, combined=combined), nn.Linear(16, 1))
    u = torch.linspace(0, 1, 200)[:, None]
    wanted = torch.sin(2 * torch.pi * u)
    optimiser = torch.optim.LBFGS(net.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (net(u) - wanted).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert loss().item() < 1e-4
