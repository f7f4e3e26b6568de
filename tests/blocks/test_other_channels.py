"""Channel mixers beside perceptrons: what their functions look like, and what they can fit."""

import pytest
import torch
from torch import nn

from archsearch.blocks.channels.other_channels import Quadratic, QuadraticLinear, RandomFeatures
from archsearch.blocks.channels.spline_channels import KAN, ReLUKAN, bsplines


def test_splines_sum_to_one_and_have_compact_support():
    knots = torch.arange(-3, 5 + 3 + 1, dtype=torch.float64) / 5
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1, None]
    found = bsplines(u, knots, 3)
    assert found.shape == (1000, 8)
    torch.testing.assert_close(found.sum(-1), torch.ones(1000, dtype=torch.float64))
    assert (found >= 0).all()
    for m in range(8):
        outside = (u[:, 0] < knots[m]) | (u[:, 0] >= knots[m + 4])
        assert not found[outside, m].any()


def test_cubic_splines_have_known_values():
    """At a knot a cubic spline and its neighbours are 1/6, 2/3 and 1/6; halfway 1/48 and 23/48."""
    knots = torch.arange(-3, 9, dtype=torch.float64)
    found = bsplines(torch.tensor([[2.0], [2.5]], dtype=torch.float64), knots, 3)
    assert found[0, 2:5].tolist() == pytest.approx([1 / 6, 2 / 3, 1 / 6])
    assert found[1, 2:6].tolist() == pytest.approx([1 / 48, 23 / 48, 23 / 48, 1 / 48])


def test_bumps_are_one_high_and_end_where_they_should():
    kan = ReLUKAN(1, grid=5, order=3)
    u = torch.linspace(-1, 2, 3001)[:, None, None]
    high = torch.relu(kan.ends - u) * torch.relu(u - kan.starts) * kan.height
    bumps = high.square()[:, 0]
    torch.testing.assert_close(bumps.max(0).values, torch.ones(8), rtol=1e-4, atol=0)
    for m, start in enumerate(torch.arange(-3, 5) / 5):
        inside = (u[:, 0, 0] > start) & (u[:, 0, 0] < start + 4 / 5)
        assert not bumps[~inside, m].any()


@pytest.mark.parametrize("layer", [KAN, ReLUKAN])
def test_splines_fit_a_sine(layer):
    torch.manual_seed(0)
    kan = layer(1)
    u = torch.linspace(0.02, 0.98, 200)[:, None]
    wanted = torch.sin(2 * torch.pi * u)
    # it would leave nothing of a single input but its sign
    kan.norm = nn.Identity()
    optimiser = torch.optim.LBFGS(kan.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss():
        optimiser.zero_grad()
        value = (kan(u.logit()) - wanted).square().mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert loss().item() < 1e-4


def test_a_quadratic_neuron_starts_linear_and_learns_a_circle():
    torch.manual_seed(0)
    neuron = QuadraticLinear(2, 1)
    x = torch.randn(400, 2)
    assert torch.equal(neuron(x), neuron.linear(x))
    assert sum(p.numel() for p in neuron.parameters()) == 3 * 3
    inside = (x.square().sum(1, keepdim=True) < 1.4).float()
    optimiser = torch.optim.Adam(neuron.parameters(), 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(neuron(x), inside).backward()
        optimiser.step()
    assert ((neuron(x) > 0) == (inside > 0)).float().mean() > 0.97


def test_a_quadratic_mixer_starts_as_a_perceptron():
    torch.manual_seed(0)
    mixer, x = Quadratic(5, expand=2.0), torch.randn(7, 5)
    expected = mixer.out(torch.relu(mixer.into.linear(x)))
    torch.testing.assert_close(mixer(x), expected)


def test_random_features_approximate_a_gaussian_kernel():
    torch.manual_seed(0)
    mixer = RandomFeatures(8, expand=4000.0, scale=1.5)
    x, y = torch.randn(2, 20, 8)
    mixer.out = nn.Identity()
    found = (mixer(x) * mixer(y)).sum(-1)
    expected = torch.exp(-(x - y).square().sum(-1) / (2 * 8 * 1.5**2))
    torch.testing.assert_close(found, expected, rtol=0, atol=0.03)
    assert not list(mixer.parameters())
