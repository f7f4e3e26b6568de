"""Where a norm stands: before the layer, after the gate, or on both sides of the layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.blocks.structure.placements import PostNorm, PreNorm, Sandwich
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


class Plus(nn.Module):
    """x + f, as a gate."""

    def forward(self, x, fx):
        return x + fx


def network(placement, copies=1, **parts):
    slots = {"channel": Layer("mlp"), **parts}
    block = Block(Layer("gru"), placement=Layer(placement), **slots)
    return CATALOG.complete_architecture(Architecture(WIDTH, (Stage((block,), repeat=copies),)))


def test_each_placement_is_its_formula():
    norm, layer, x = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), torch.randn(2, 3, WIDTH)
    nn.init.normal_(norm.weight)
    gate = Plus()
    expected = {
        PreNorm: x + layer(norm(x)),
        PostNorm: norm(x + layer(x)),
        Sandwich: x + norm(layer(norm(x))),
    }
    for kind, y in expected.items():
        part = kind(norm, layer, gate)
        assert torch.equal(part.leave(x, part.layer(part.enter(x))), y)


def test_the_second_norm_of_a_sandwich_has_weights_of_its_own():
    part = Sandwich(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), Plus())
    assert part.after.weight is not part.norm.weight
    part.after.weight.data.fill_(0)
    part.after.bias.data.fill_(0)
    x = torch.randn(2, WIDTH)
    assert torch.equal(part.leave(x, part.layer(part.enter(x))), x)


@pytest.mark.parametrize("norm", ["rmsnorm", "layernorm", "none"])
@pytest.mark.parametrize("gate", ["additive", "highway", "none"])
@pytest.mark.parametrize("placement", CATALOG.names("placement"))
def test_a_stream_equals_the_whole(placement, gate, norm):
    architecture = network(placement, 2, gate=Layer(gate), norm=Layer(norm))
    model = build(architecture, CATALOG, EVERY_STEP, seed=1).double().eval()
    x = torch.randn(2, LENGTH, 3, dtype=torch.float64)
    whole, state = model(x)[0], model.initial_state(2)
    for t in range(LENGTH):
        y_t, state = model.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t], rtol=1e-9, atol=1e-9)


def test_without_a_norm_all_placements_are_one():
    x = torch.randn(2, LENGTH, 3)
    answers = [
        build(network(name, norm=Layer("none")), CATALOG, EVERY_STEP, seed=2)(x)[0]
        for name in CATALOG.names("placement")
    ]
    assert all(torch.equal(answers[0], answer) for answer in answers)


def test_the_stream_grows_before_a_layer_and_keeps_its_size_after_one():
    """The variance behind 24 blocks: about their number with a norm before, one with it after."""
    seen = {}
    for name in ("pre", "post"):
        model = build(network(name, 24), CATALOG, EVERY_STEP, seed=3)
        model.norm.register_forward_pre_hook(
            lambda _, given, name=name: seen.__setitem__(name, given[0])
        )
        model(torch.randn(8, 20, 3))
    assert seen["pre"].var() > 2
    torch.testing.assert_close(seen["post"].square().mean(), torch.tensor(1.0), rtol=0.02, atol=0)


def test_the_usual_placement_is_not_written_so_that_digests_stay():
    usual, post = network("pre"), network("post")
    assert "placement" not in str(to_plain(usual))
    assert usual.digest != post.digest
    for architecture in (usual, post):
        assert architecture_from_plain(to_plain(architecture)) == architecture
    # of an architecture that was stored before there were placements
    stored = Architecture(16, (Stage((Block(Layer("gru")), Block(Layer("lstm"))), loops=2),))
    assert stored.digest == "0eeb4b00cfdea500"
