"""Clipped activations: the constants of the edge of chaos, and what they do to deep layers."""

import pytest
import torch
from torch import nn

from archsearch.blocks.activations.activations import open_activation
from archsearch.blocks.activations.clipped_activations import NORMAL, Constants, constants
from archsearch.blocks.channels.channels import MLP

# sides, share of zeros, threshold, then (clip, weight and bias variance) at slopes .5, .7 and .9
TABLE = [
    (1, 0.6, 0.2533,
     (1.2175, 3.0364, 0.3109), (1.6258, 2.7035, 0.2385), (2.2467, 2.5394, 0.1935)),
    (1, 0.7, 0.5244,
     (1.0511, 4.1249, 0.4653), (1.4469, 3.6277, 0.3928), (2.0540, 3.3894, 0.3465)),
    (1, 0.8, 0.8416,
     (0.8913, 6.3114, 0.5983), (1.2667, 5.4795, 0.5296), (1.8517, 5.0900, 0.4838)),
    (1, 0.85, 1.0364,
     (0.8095, 8.5069, 0.6605), (1.1704, 7.3348, 0.5953), (1.7395, 6.7913, 0.5508)),
    (1, 0.9, 1.2816,
     (0.7217, 12.9157, 0.7228), (1.0632, 11.0521, 0.6628), (1.6106, 10.1951, 0.6204)),
    (2, 0.6, 0.8416,
     (0.8913, 3.1557, 0.5983), (1.2667, 2.7398, 0.5296), (1.8517, 2.5450, 0.4838)),
    (2, 0.7, 1.0364,
     (0.8095, 4.2535, 0.6605), (1.1704, 3.6674, 0.5953), (1.7395, 3.3956, 0.5508)),
    (2, 0.8, 1.2816,
     (0.7217, 6.4579, 0.7228), (1.0632, 5.5261, 0.6628), (1.6106, 5.0975, 0.6204)),
    (2, 0.85, 1.4395,
     (0.6727, 8.6702, 0.7554), (1.0016, 7.3877, 0.6989), (1.5343, 6.8000, 0.6582)),
]  # fmt: skip


@pytest.mark.parametrize(("sides", "sparsity", "threshold", "safe", "middle", "rich"), TABLE)
def test_the_constants_are_those_of_the_variance_map(
    sides, sparsity, threshold, safe, middle, rich
):
    for contraction, expected in ((0.5, safe), (0.7, middle), (0.9, rich)):
        found = constants(sparsity, contraction, sides)
        assert found.threshold == pytest.approx(threshold, abs=6e-5)
        numbers = [found.clip, found.weight_variance, found.bias_variance]
        assert numbers == pytest.approx(expected, abs=6e-5)


def test_both_sides_are_one_side_of_half_the_weights():
    one, both = constants(0.85, 0.7), constants(0.7, 0.7, 2)
    assert both.clip == pytest.approx(one.clip)
    assert both.weight_variance == pytest.approx(one.weight_variance / 2)


@pytest.mark.parametrize(("sides", "sparsity"), [(1, 0.7), (1, 0.9), (2, 0.6), (2, 0.85)])
@pytest.mark.parametrize("contraction", [0.5, 0.9])
def test_the_contraction_is_the_slope_of_the_variance_map(sides, sparsity, contraction):
    """By finite differences of the map itself, whose fixed point is 1."""
    name = "crelu" if sides == 1 else "cst"
    activation = open_activation(name, 1, sparsity=sparsity, contraction=contraction)
    wanted = activation.constants
    edges = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    z = (edges[1:] + edges[:-1]) / 2
    weight = torch.exp(-z.square() / 2) / (2 * torch.pi) ** 0.5 * (edges[1] - edges[0])

    def variance(q):
        passed = (weight * activation(q**0.5 * z).square()).sum().item()
        return wanted.weight_variance * passed + wanted.bias_variance

    assert variance(1.0) == pytest.approx(1, abs=1e-5)
    slope = (variance(1.01) - variance(0.99)) / 0.02
    assert slope == pytest.approx(contraction, abs=1e-3)


def test_values_at_a_threshold_and_clip_of_one():
    x = torch.tensor([1.5, 3.0, -1.5, -3.0])
    for name, expected in (("crelu", [0.5, 1, 0, 0]), ("cst", [0.5, 1, -0.5, -1])):
        activation = open_activation(name, 1)
        activation.constants = Constants(1.0, 1.0, 1.0, 0.0)
        assert activation(x).tolist() == expected


def test_without_the_clip_the_variance_of_deep_layers_grows_without_bound():
    torch.manual_seed(0)
    activation = open_activation("crelu", 1, sparsity=0.85, contraction=0.5)
    passed = 1 - NORMAL.cdf(activation.constants.threshold)
    x = torch.randn(300, 200)
    for _ in range(50):
        x = (x @ torch.randn(200, 200) * (1 / passed / 200) ** 0.5) + 0.8 * torch.randn(200)
        before, x = x, torch.relu(x - activation.constants.threshold)
    assert before.var() > 1e4


def test_values():
    x = torch.tensor([-3.0, -1.5, 0.0, 1.5, 3.0])
    for name in ("crelu", "cst"):
        activation = open_activation(name, 1)
        t, m = activation.constants.threshold, activation.constants.clip
        high = min(1.5 - t, m)
        below = [-m, -high] if name == "cst" else [0, 0]
        assert activation(x).tolist() == pytest.approx([*below, 0, high, m], abs=1e-6)


@pytest.mark.parametrize("name", ["crelu", "cst"])
@pytest.mark.parametrize("sparsity", [0.7, 0.85])
def test_fifty_layers_keep_variance_and_sparsity(name, sparsity):
    torch.manual_seed(0)
    activation = open_activation(name, 1, sparsity=sparsity, contraction=0.5)
    wanted = activation.constants
    x = torch.randn(300, 400)
    for layer in range(50):
        linear = nn.Linear(400, 400)
        nn.init.normal_(linear.weight, std=(wanted.weight_variance / 400) ** 0.5)
        nn.init.normal_(linear.bias, std=wanted.bias_variance**0.5)
        if layer == 0:
            activation.prepare(linear)
        with torch.no_grad():
            before = linear(x)
            x = activation(before)
    assert before.var().item() == pytest.approx(1.0, abs=0.3)
    assert (x == 0).float().mean().item() == pytest.approx(sparsity, abs=0.05)


def test_a_channel_mixer_starts_as_sparse_as_asked():
    torch.manual_seed(0)
    mixer = MLP(64, expand=16.0, activation="crelu", sparsity=0.85)
    hidden = mixer.activation(mixer.into(torch.randn(500, 64)))
    assert (hidden == 0).float().mean().item() == pytest.approx(0.85, abs=0.02)
