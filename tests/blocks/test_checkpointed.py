"""Recomputed blocks: the gradients of plain ones to the last bit, and what is kept for them."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
WIDTH, LENGTH = 8, 6
EVERY_STEP = Signature("values", 3, "value", 2, every_step=True, length=LENGTH)
MODES = ("none", "blocks", "sqrt")


def model(mode, copies=16, loops=1, connections="chain"):
    block = Block(
        Layer("gru"), Layer.of("stochastic_depth", survive=0.5), Layer.of("mlp"), Layer("layernorm")
    )
    stage = Stage((block,), copies, loops, connections=Layer(connections))
    training = Layer.of("adamw", checkpointing=mode)
    architecture = CATALOG.complete_architecture(Architecture(WIDTH, (stage,), training=training))
    return build(architecture, CATALOG, EVERY_STEP, seed=0).double()


def x():
    return torch.randn(
        3, LENGTH, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def gradients(network):
    torch.manual_seed(7)
    y, _ = network(x())
    y.square().sum().backward()
    return [y, *(parameter.grad for parameter in network.parameters()), torch.rand(3)]


@pytest.mark.parametrize("connections", CATALOG.names("connections"))
@pytest.mark.parametrize(("copies", "loops"), [(5, 1), (2, 3)])
def test_gradients_are_equal_to_the_last_bit(connections, copies, loops):
    plain, *others = (gradients(model(mode, copies, loops, connections)) for mode in MODES)
    for other in others:
        for one, two in zip(plain, other, strict=True):
            assert torch.equal(one, two)


@pytest.mark.parametrize("loops", [1, 2])
@pytest.mark.parametrize(
    "cell", [Layer("routing"), Layer.of("attention", pattern="perhead", block=2, dense=2)]
)
def test_what_a_pass_learns_without_gradients_is_learned_once(cell, loops):
    def learned(mode):
        training = Layer.of("adamw", checkpointing=mode)
        stage = Stage((Block(cell),), 2, loops)
        architecture = Architecture(WIDTH, (stage,), training=training)
        network = build(CATALOG.complete_architecture(architecture), CATALOG, EVERY_STEP, seed=0)
        for seed in range(3):
            torch.manual_seed(seed)
            loss = network(torch.randn(3, LENGTH, 3))[0].square().sum()
            loss.backward(retain_graph=True)
            loss.backward()
        return [*(parameter.grad for parameter in network.parameters()), *network.buffers()]

    plain, *others = map(learned, MODES)
    for other in others:
        assert all(map(torch.equal, plain, other))


def kept(mode, copies):
    """Tensors of the stream's size or larger that the forward pass keeps."""
    network = model(mode, copies)
    own = {parameter.data_ptr() for parameter in network.parameters()}
    found = []

    def pack(tensor):
        if tensor.data_ptr() not in own and tensor.numel() >= 3 * LENGTH * WIDTH:
            found.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        network.stages[0](network.embed(x()))
    return len(found)


@pytest.mark.parametrize("copies", [4, 16, 64])
def test_what_is_kept_is_one_input_for_each_segment(copies):
    once = kept("none", 1)
    assert kept("none", copies) >= 0.9 * copies * once
    assert kept("blocks", copies) <= copies + 1
    # one input of each segment; a segment's own are kept only while it is computed again
    assert kept("sqrt", copies) <= copies**0.5 + 1


def test_without_gradients_nothing_is_wrapped(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError

    network = model("sqrt").eval()
    monkeypatch.setattr("archsearch.blocks.structure.checkpointed.checkpoint", refuse)
    with torch.no_grad():
        network(x())
    with pytest.raises(AssertionError):
        network(x())


def test_it_changes_no_weight_and_is_written_only_where_it_is_asked_for():
    plain, blocks = model("none", 2), model("blocks", 2)
    assert list(plain.state_dict()) == list(blocks.state_dict())
    for one, other in zip(plain.parameters(), blocks.parameters(), strict=True):
        assert torch.equal(one, other)
    usual = CATALOG.complete("training", Layer("adamw"))
    assert "checkpointing" not in dict(usual.options)
