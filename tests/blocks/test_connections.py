"""What the blocks of a stage read: the formulas, their beginnings, streams and loops."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import (
    Architecture,
    Block,
    Layer,
    Stage,
    architecture_from_plain,
    to_plain,
)
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
WIDTH, LENGTH = 8, 6
EVERY_STEP = Signature("values", 3, "value", 2, every_step=True, length=LENGTH)
WAYS = (
    Layer("chain"),
    Layer("dense"),
    Layer.of("dense", read="projected"),
    Layer("long_residuals"),
    Layer.of("long_residuals", every=2, narrow=4),
    Layer("regulated"),
    Layer.of("regulated", unit="gru"),
    Layer("mixture_of_depths"),
    Layer.of("mixture_of_depths", every=1, capacity=0.5),
    Layer("reversible"),
)


def network(connections, copies=4, loops=1, width=WIDTH, **parts):
    block = Block(Layer("gru"), **{"channel": Layer("mlp"), **parts})
    stage = Stage((block,), copies, loops, connections=connections)
    return CATALOG.complete_architecture(Architecture(width, (stage,)))


def body(architecture, seed=0):
    """The blocks of the only stage, in double precision, every parameter moved a little."""
    model = build(architecture, CATALOG, EVERY_STEP, seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            moved = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * moved)
    return model.stages[0].tie.body


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(9)
    return torch.randn(2, LENGTH, WIDTH, generator=generator, dtype=torch.float64)


def test_dense_connections_are_weighted_sums_of_all_before(x):
    stage = body(network(Layer("dense"), 3))
    seen = [x]
    read = x
    for block, weights in zip(stage.blocks, stage.reads, strict=True):
        seen.append(block(read))
        read = sum(weight * part for weight, part in zip(weights, seen, strict=True))
    torch.testing.assert_close(stage(x), read, rtol=1e-12, atol=1e-12)
    assert [len(weights) for weights in stage.reads] == [2, 3, 4]


def test_dense_connections_may_be_linear_maps_of_the_concatenation(x):
    stage = body(network(Layer.of("dense", read="projected"), 3))
    seen = [x]
    read = x
    for block, weight in zip(stage.blocks, stage.reads, strict=True):
        seen.append(block(read))
        read = torch.cat(seen, -1) @ weight.T
    torch.testing.assert_close(stage(x), read, rtol=1e-12, atol=1e-12)
    assert [tuple(w.shape) for w in stage.reads] == [(8, 16), (8, 24), (8, 32)]
    spared = build(network(WAYS[2], 3), CATALOG, EVERY_STEP, seed=0).no_decay()
    assert {f"stages.0.tie.body.reads.{number}" for number in range(3)} <= spared


def test_long_residuals_add_projections_of_earlier_levels(x):
    stage = body(network(Layer.of("long_residuals", narrow=4), 4))
    levels = [x]
    for number, block in enumerate(stage.blocks, start=1):
        y = block(levels[-1])
        for earlier in range(number - 1):
            y = y + stage.projections[number - 1][earlier](levels[earlier])
        levels.append(y)
    torch.testing.assert_close(stage(x), levels[-1], rtol=1e-12, atol=1e-12)
    assert [len(level) for level in stage.projections] == [0, 1, 2, 3]
    assert stage.projections[1][0].into.weight.shape == (2, WIDTH)


@pytest.mark.parametrize("unit", ["lstm", "gru"])
def test_a_regulator_is_a_recurrent_network_whose_time_are_the_blocks(unit, x):
    stage = body(network(Layer.of("regulated", unit=unit), 3))
    whole = (torch.nn.LSTM if unit == "lstm" else torch.nn.GRU)(WIDTH, WIDTH).double()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    whole.load_state_dict({f"{name}_l0": getattr(stage.unit, name) for name in names})
    read, entered = x, []
    for block, join in zip(stage.blocks, stage.joins, strict=True):
        entered.append(read.flatten(0, 1))
        h = whole(torch.stack(entered))[0][-1].view_as(x)
        z = torch.cat([read, h], -1) @ join.weight.T
        read = read + block(z) - z
    torch.testing.assert_close(stage(x), read, rtol=1e-10, atol=1e-10)


def test_levels_of_several_blocks(x):
    stage = body(network(Layer.of("long_residuals", every=2), 5))
    assert [len(level) for level in stage.projections] == [0, 1, 2]
    one = stage.blocks[1](stage.blocks[0](x))
    two = stage.blocks[3](stage.blocks[2](one)) + stage.projections[1][0](x)
    three = stage.blocks[4](two) + stage.projections[2][0](x) + stage.projections[2][1](one)
    torch.testing.assert_close(stage(x), three, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "way", [way for way in WAYS if way.name in ("dense", "long_residuals", "regulated")]
)
def test_they_start_as_the_chain_does(way):
    chain, other = (
        build(network(of, 5), CATALOG, EVERY_STEP, seed=4) for of in (Layer("chain"), way)
    )
    of_chain = chain.state_dict()
    other.load_state_dict({**other.state_dict(), **of_chain})
    given = torch.randn(2, LENGTH, 3)
    torch.testing.assert_close(other(given)[0], chain(given)[0], rtol=1e-5, atol=1e-6)


def test_a_direct_path_leads_past_blocks_that_are_silent(x):
    """With all but the first block replaced by zeros, its output still reaches the end."""

    class Silent(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    for way in WAYS[1:5]:
        stage = body(network(way, 5))
        first = stage.blocks[0](x).detach().requires_grad_()
        stage.blocks = nn.ModuleList([nn.Identity(), *[Silent()] * 4])
        (gradient,) = torch.autograd.grad(stage(first).square().sum(), first)
        assert gradient.abs().max() > 1e-3
    chain = body(network(Layer("chain"), 5))
    chain.blocks = nn.ModuleList([nn.Identity(), *[Silent()] * 4])
    assert not chain(first).any()


def test_long_residuals_cost_little():
    counts = []
    for way in (Layer("chain"), Layer("long_residuals")):
        architecture = network(way, 6, width=64)
        model = build(architecture, CATALOG, EVERY_STEP, seed=0)
        counts.append(sum(parameter.numel() for parameter in model.stages.parameters()))
    assert counts[0] < counts[1] < 1.1 * counts[0]


@pytest.mark.parametrize("loops", [1, 3])
@pytest.mark.parametrize("channel", ["mlp", "none"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_stream_equals_the_whole(way, channel, loops):
    architecture = network(way, 3, loops, channel=Layer(channel), gate=Layer("highway"))
    model = build(architecture, CATALOG, EVERY_STEP, seed=1).double().eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.stages.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    given = torch.randn(2, LENGTH, 3, dtype=torch.float64)
    whole, state = model(given)[0], model.initial_state(2)
    for t in range(LENGTH):
        y_t, state = model.step(given[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t], rtol=1e-9, atol=1e-9)


def test_only_chains_are_merged_with_their_neighbours():
    def stages(*ways):
        parts = tuple(
            Stage((Block(Layer("gru")),), connections=way, halting=Layer("act")) for way in ways
        )
        return Architecture(WIDTH, parts).canonical().stages

    chain, dense = WAYS[:2]
    assert [len(stage.blocks) for stage in stages(chain, chain, chain)] == [3]
    merged = stages(dense, dense, chain, chain, dense)
    assert [len(stage.blocks) for stage in merged] == [1, 1, 2, 1]
    assert [stage.connections for stage in merged] == [dense, dense, chain, dense]
    assert all(stage.halting == Layer("none") for stage in merged)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_there_and_back_again(way):
    architecture = network(way)
    assert architecture_from_plain(to_plain(architecture)) == architecture
    assert ("connections" in to_plain(architecture)["stages"][0]) == (way.name != "chain")
    digests = {network(other).digest for other in WAYS}
    assert len(digests) == len(WAYS)
