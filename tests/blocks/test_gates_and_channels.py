"""Gates and channel mixers against what their equations say."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from archsearch.blocks.channels import GLU, MLP
from archsearch.blocks.gates import Additive, Highway, Replace


def pair(*shape):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_additive_and_replace():
    x, fx = pair(2, 3, 4)
    assert torch.equal(Additive(4)(x, fx), x + fx)
    assert torch.equal(Replace(4)(x, fx), fx)


def test_a_highway_lies_between_the_stream_and_the_layer():
    x, fx = pair(50, 7, 4)
    y = Highway(4, bias=0.0)(x, fx)
    assert (y <= torch.maximum(x, fx) + 1e-6).all()
    assert (y >= torch.minimum(x, fx) - 1e-6).all()


def test_the_bias_of_a_highway_is_where_it_starts():
    x, fx = pair(2, 3, 4)
    gate = Highway(4, bias=-2.0)
    nn.init.zeros_(gate.transform.weight)
    share = torch.sigmoid(torch.tensor(-2.0))  # 0.1192
    torch.testing.assert_close(gate(x, fx), share * fx + (1 - share) * x)
    torch.testing.assert_close(Highway(4, bias=-40.0)(x, fx), x)
    torch.testing.assert_close(Highway(4, bias=40.0)(x, fx), fx)


def test_a_sigmoid_glu_is_torchs_glu():
    x, _ = pair(5, 8)
    glu = GLU(8, expand=2.0, activation="sigmoid")
    torch.testing.assert_close(glu(x), glu.out(functional.glu(glu.into(x))))


def test_a_glu_of_eight_thirds_has_the_weights_of_an_mlp_of_four():
    assert count(GLU(96, expand=8 / 3)) == pytest.approx(count(MLP(96, expand=4.0)), rel=0.01)


@pytest.mark.parametrize("channel", [MLP, GLU])
def test_odd_expansions_are_rounded_and_never_empty(channel):
    assert channel(5, expand=1.5).out.in_features == 8
    assert channel(1, expand=0.25).out.in_features == 1


def test_a_product_of_two_inputs_is_easy_for_a_glu_and_hard_for_an_mlp():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 2, generator=generator)
    target = (x[:, :1] * x[:, 1:]).expand(-1, 2)
    errors = {}
    for name, channel in {"glu": GLU(2, 4.0, "identity"), "mlp": MLP(2, 6.0, "relu")}.items():
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(0)
            for layer in (channel.into, channel.out):
                layer.reset_parameters()
        optimizer = torch.optim.Adam(channel.parameters(), lr=0.02)
        for _ in range(150):
            optimizer.zero_grad()
            error = functional.mse_loss(channel(x), target)
            error.backward()
            optimizer.step()
        errors[name] = error.item()
    assert errors["glu"] < errors["mlp"] / 10
