"""Gates and channel mixers against what their equations say."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from archsearch.blocks.channels.channels import GLU, MLP
from archsearch.blocks.gates import (
    Additive,
    GRUGate,
    Highway,
    InputDependent,
    LayerScale,
    LearnedRate,
    Multiplicative,
    OutputGate,
    Replace,
    ReZero,
    StochasticDepth,
)


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


@pytest.mark.parametrize("gate", [InputDependent(4, 0.0), LearnedRate(4, 0.0)])
def test_coupled_gates_lie_between_the_stream_and_the_layer(gate):
    x, fx = pair(50, 7, 4)
    y = gate(x, fx)
    assert (y <= torch.maximum(x, fx) + 1e-6).all()
    assert (y >= torch.minimum(x, fx) - 1e-6).all()


def test_a_learned_rate_is_deaf_to_its_input():
    x, fx = pair(2, 3, 4)
    share = torch.sigmoid(torch.tensor(-2.0))
    torch.testing.assert_close(LearnedRate(4)(x, fx), share * fx + (1 - share) * x)


def test_an_input_dependent_gate_hears_the_layer():
    x, fx = pair(2, 3, 4)
    gate = InputDependent(4, 0.0)
    with torch.no_grad():
        gate.mix.weight.zero_()[:, 4:] = 1e3 * torch.eye(4)
    torch.testing.assert_close(gate(x, fx), torch.where(fx > 0, fx, x), rtol=1e-3, atol=1e-3)


def test_rezero_begins_as_the_identity_and_learns_its_rate_first():
    x, fx = (part.requires_grad_() for part in pair(2, 3, 4))
    gate = ReZero(4)
    y = gate(x, fx)
    assert torch.equal(y, x)
    of_alpha, of_layer = torch.autograd.grad(y.square().sum(), [gate.alpha, fx])
    assert of_alpha.abs() > 1e-3
    assert not of_layer.any()


def test_a_layer_scale_begins_small():
    x, fx = pair(2, 3, 4)
    torch.testing.assert_close(LayerScale(4, 1e-3)(x, fx), x + 1e-3 * fx)


def test_a_multiplicative_gate_keeps_zeros():
    x, fx = pair(2, 3, 4)
    x[:, 1] = 0
    y = Multiplicative(4)(x, fx)
    torch.testing.assert_close(y, 2 * x * torch.sigmoid(fx))
    assert torch.equal(Multiplicative(4)(x, torch.zeros_like(x)), x)
    assert not y[:, 1].any()


def test_a_gru_gate_is_torchs_gru_cell():
    x, fx = pair(9, 4)
    gate, cell = GRUGate(4, bias=0.5), nn.GRUCell(4, 4)
    with torch.no_grad():
        # torch's z keeps the state, ours takes the new value
        r, z, new = gate.of_layer.weight.chunk(3)
        of_r, of_z = gate.of_stream.weight.chunk(2)
        gate.of_reset.weight.zero_()
        cell.weight_ih.copy_(torch.cat([r, -z, new]))
        cell.weight_hh.copy_(torch.cat([of_r, -of_z, torch.zeros(4, 4)]))
        cell.bias_ih.zero_()[4:8] = 0.5
        cell.bias_hh.zero_()
    torch.testing.assert_close(gate(x, fx), cell(fx, x))


def test_a_gru_gate_resets_before_its_matrix():
    x, fx = pair(9, 4)
    gate = GRUGate(4, bias=0.0)
    r, z, new = gate.of_layer(fx).chunk(3, -1)
    of_r, of_z = gate.of_stream(x).chunk(2, -1)
    reset, update = torch.sigmoid(r + of_r), torch.sigmoid(z + of_z)
    candidate = torch.tanh(new + (reset * x) @ gate.of_reset.weight.t())
    torch.testing.assert_close(gate(x, fx), (1 - update) * x + update * candidate)


def test_stochastic_depth_leaves_whole_sequences_out_and_is_right_on_average():
    torch.manual_seed(0)
    x, fx = pair(20_000, 3, 2)
    gate = StochasticDepth(2, survive=0.8)
    change = (gate(x, fx) - x) / fx
    per_row = change.flatten(1)
    torch.testing.assert_close(per_row, per_row[:, :1].expand_as(per_row), rtol=1e-2, atol=1e-2)
    assert (per_row[:, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert per_row[:, 0].mean().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(gate.eval()(x, fx), x + fx)


def test_an_output_gate_opens_with_its_bias():
    x, fx = pair(2, 3, 4)
    torch.testing.assert_close(OutputGate(4, bias=40.0)(x, fx), x + fx)
    torch.testing.assert_close(OutputGate(4, bias=-40.0)(x, fx), x)


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
