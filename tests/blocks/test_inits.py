"""How networks start: what is drawn anew and what is left alone, and the variances it gives."""

from __future__ import annotations

import math

import pytest
import torch

from archsearch.blocks.activations.activations import FUNCTIONS
from archsearch.blocks.starts.critical import critical
from archsearch.blocks.starts.maps import blocks, mixer, projections
from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage, to_plain
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
INITS = CATALOG.names("init")
VALUES = Signature("values", 3, "class", 4, every_step=False, length=12)
TOKENS = Signature("tokens", 64, "class", 64, every_step=True, length=128)


def model(init, *blocks, width=32, copies=1, signature=VALUES, seed=0):
    layer = init if isinstance(init, Layer) else Layer(init)
    stages = (Stage(blocks, copies),)
    architecture = CATALOG.complete_architecture(Architecture(width, stages, init=layer))
    return build(architecture, CATALOG, signature, seed)


def of_mlp(activation="relu", cell="gru", **slots):
    return Block(Layer(cell), channel=Layer.of("mlp", activation=activation), **slots)


def deviations(init, activation="relu", width=128):
    """Deviations of both maps of a mixer times the square root of their inputs."""
    (block,) = blocks(model(init, of_mlp(activation), width=width))
    into, out = block.channel.layer.into.weight, block.channel.layer.out.weight
    return [float(weight.detach().std()) * weight.shape[1] ** 0.5 for weight in (into, out)]


@pytest.mark.parametrize(
    ("init", "activation", "into", "out"),
    [
        ("he", "relu", 1.0, math.sqrt(2)),
        ("he", "identity", 1.0, 1.0),
        ("he", "tanh", 1.0, 1.5926),  # 1 / sqrt(E[tanh(z)^2])
        ("lecun", "relu", 1.0, 1.0),
        # 128 to 256 and back
        ("xavier", "relu", math.sqrt(2 / 3), math.sqrt(2 * 4 / 3)),
        ("orthogonal", "relu", 1.0, 1.0),
        ("critical", "relu", 1.0, math.sqrt(2)),
        ("critical", "gelu", math.sqrt(3.5616), math.sqrt(1.98305826)),
        ("critical", "silu", math.sqrt(14.319), math.sqrt(1.98800467)),
        ("deepscale", "relu", 1.0, math.sqrt(2)),
    ],
)
def test_deviations_are_those_of_the_method(init, activation, into, out):
    found = deviations(init, activation)
    if init == "orthogonal":
        # of 256 inputs only 128 directions are read, each with the gain
        out = math.sqrt(2)
    assert found == pytest.approx([into, out], rel=0.03)


def test_orthogonal_maps_are():
    (block,) = blocks(model("orthogonal", of_mlp("identity")))
    for part in block.channel.layer.into.weight.split(32):
        torch.testing.assert_close(part @ part.T, torch.eye(32), rtol=0, atol=1e-5)
    out = block.channel.layer.out.weight
    torch.testing.assert_close(out @ out.T, torch.eye(32), rtol=0, atol=1e-3)


@pytest.mark.parametrize("init", [name for name in INITS if name != "default"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "mamba", "attention", "lru", "deltanet"])
def test_only_maps_of_the_stream_are_touched(cell, init):
    made = of_mlp("gelu", cell, gate=Layer("highway"), norm=Layer("layernorm"))
    before, after = model("default", made), model(init, made)
    (block,) = blocks(after)
    found = mixer(block)
    drawn = {id(linear.weight) for linear in (*projections(block), found.into, found.out)}
    free = {id(found.into.bias), id(found.out.bias)}
    for (name, one), (_, other) in zip(
        before.named_parameters(), after.named_parameters(), strict=True
    ):
        if id(other) in drawn:
            assert not torch.equal(one, other), name
        elif id(other) not in free:
            assert torch.equal(one, other), name
    assert len(drawn) >= 3
    assert {id(p) for p in after.parameters()} > drawn | free


def test_recurrent_matrices_rates_and_steps_are_no_maps():
    names = {"gru": {"input"}, "mamba": {"project", "output"}, "lru": {"input", "output"}}
    for cell, expected in names.items():
        (block,) = blocks(model("default", Block(Layer(cell))))
        kept = {id(linear) for linear in projections(block)}
        found = {name for name, part in block.cell.layer.named_modules() if id(part) in kept}
        assert found == expected


@pytest.mark.parametrize("init", INITS)
def test_a_seed_decides_and_the_global_state_stays(init):
    before = torch.get_rng_state()
    one, same, other = (model(init, of_mlp(), copies=2, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    assert one.training
    for first, second in zip(one.parameters(), same.parameters(), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(one.head.project.weight, other.head.project.weight)


def test_it_is_part_of_the_architecture_unless_it_is_the_usual_one():
    usual, he = (Architecture(8, (), init=Layer(name)) for name in ("default", "he"))
    assert "init" not in to_plain(usual)
    assert to_plain(he)["init"] == {"name": "he", "options": {}}
    assert usual.digest != he.digest


def outputs(network, *names):
    """Deviations of what these maps compute of another batch."""
    found = []
    for linear in names:
        linear.register_forward_hook(lambda _, given, y: found.append(float(y.std())))
    with torch.no_grad():
        network.eval()(torch.randn(64, 12, 3, generator=torch.Generator().manual_seed(5)))
    return found


def test_lsuv_gives_every_map_a_deviation_of_one_the_first_included():
    seen = {}
    for init in ("lsuv", "orthogonal"):
        network = model(init, of_mlp("tanh", "attention"), width=64, copies=4)
        maps = []
        for block in blocks(network):
            found = mixer(block)
            maps += [*projections(block), found.into, found.out]
        seen[init] = outputs(network, *maps)
        assert len(seen[init]) == len(maps) == 16
    assert seen["lsuv"] == pytest.approx([1.0] * 16, abs=0.15)
    assert min(seen["orthogonal"]) < 0.8


@pytest.mark.parametrize(
    ("activation", "weights", "biases", "variance"),
    [
        ("relu", 2.0, 0.0, 1.0),
        ("leaky_relu", 2 / (1 + 1e-4), 0.0, 1.0),
        ("tanh", 1.0, 0.0, 0.0),
        ("gelu", 1.98305826, 0.17292239, 3.5616),
        ("silu", 1.98800467, 0.55514339, 14.319),
        ("identity", 1.0, 0.0, 1.0),
    ],
)
def test_critical_points(activation, weights, biases, variance):
    point = critical(FUNCTIONS[activation])
    assert point.weights == pytest.approx(weights, rel=1e-6)
    assert point.biases == pytest.approx(biases, abs=1e-6)
    assert point.variance == pytest.approx(variance, rel=1e-4)


def through(activation, weights, biases, layers, start):
    """The variance of pre-activations of width 1024 behind so many layers."""
    generator = torch.Generator().manual_seed(0)
    z = start**0.5 * torch.randn(16, 1024, generator=generator)
    for _ in range(layers):
        w = torch.randn(1024, 1024, generator=generator) * (weights / 1024) ** 0.5
        z = FUNCTIONS[activation](z) @ w.T + biases**0.5 * torch.randn(1024, generator=generator)
    return float(z.square().mean())


def test_gelu_lives_through_25_layers_only_at_its_critical_point():
    point = critical(FUNCTIONS["gelu"])
    for layers in (10, 25):
        kept = through("gelu", point.weights, point.biases, layers, point.variance)
        assert 0.5 < kept / point.variance < 2
    assert through("gelu", 2.0, 0.0, 25, point.variance) < 0.1
    assert through("gelu", point.weights, 0.0, 25, point.variance) < 0.1
