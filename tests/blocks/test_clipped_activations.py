"""Clipped activations: the constants of the edge of chaos, and what they do to deep layers."""

import pytest
import torch
from torch import nn

from archsearch.blocks.activations import open_activation
from archsearch.blocks.channels import MLP
from archsearch.blocks.clipped_activations import constants

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
