"""Reversible stages: plain gradients, dropped layers drawn again, memory flat in depth."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from archsearch.blocks.structure.reversible import Reversible
from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
WIDTH, LENGTH = 8, 7
EVERY_STEP = Signature("values", 3, "value", 2, every_step=True, length=LENGTH)


def stage(copies, dtype=torch.float64, **parts):
    block = Block(Layer("gru"), **{"channel": Layer("mlp"), **parts})
    plain = Stage((block,), copies, connections=Layer("reversible"))
    architecture = CATALOG.complete_architecture(Architecture(WIDTH, (plain,)))
    model = build(architecture, CATALOG, EVERY_STEP, seed=0).to(dtype)
    return model.stages[0].tie.body


def plainly(body, x):
    """The same network with an ordinary backward pass: RevNet's equations, written down."""
    one = other = x
    for block in body.blocks:
        mixed = block.mix(other) - other
        one, other = other, one + mixed
        if block.channel is not None:
            one, other = other, one + (block.refine(other) - other)
    return (one + other) / 2


def inputs(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, LENGTH, WIDTH, generator=generator, dtype=dtype).requires_grad_()


def gradients(function, body, x, seed=0):
    torch.manual_seed(seed)
    y = function(x)
    loss = (y * torch.linspace(0, 1, WIDTH, dtype=y.dtype)).square().sum()
    return y, torch.autograd.grad(loss, [x, *body.parameters()])


def test_with_an_additive_gate_it_is_the_reversible_network():
    body, x = stage(1, norm=Layer("layernorm")), inputs().detach()
    cell, channel = body.blocks[0].cell, body.blocks[0].channel
    y1 = x + cell.layer(cell.norm(x))[0]
    y2 = x + channel.layer(channel.norm(y1))
    torch.testing.assert_close(body(x), (y1 + y2) / 2, rtol=1e-12, atol=1e-12)


def test_what_one_loop_learns_is_not_met_by_the_loops_before_it():
    def learned(dense):
        cell = Layer.of("attention", pattern="perhead", block=2, dense=dense)
        looped = Stage((Block(cell),), loops=3, connections=Layer("reversible"))
        architecture = CATALOG.complete_architecture(Architecture(WIDTH, (looped,)))
        model = build(architecture, CATALOG, EVERY_STEP, seed=0).double()
        blocks = model.stages[0].tie.body.blocks[0].cell.layer.blocks
        return *gradients(lambda x: model.stages[0](x)[0], model.stages[0], inputs()), blocks

    # after its first call it looks at some blocks only, which the gradient of that call must not
    y, found, settled = learned(1)
    expected_y, expected, open_still = learned(100)
    assert not settled.chosen.all()
    assert open_still.chosen.all()
    assert torch.equal(y, expected_y)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("placement", ["pre", "post", "sandwich"])
@pytest.mark.parametrize("gate", CATALOG.names("gate"))
@pytest.mark.parametrize("channel", ["mlp", "none"])
def test_gradients_are_those_of_plain_autograd(channel, gate, placement):
    body = stage(4, gate=Layer(gate), channel=Layer(channel), placement=Layer(placement)).train()
    x = inputs()
    y, ours = gradients(body, body, x)
    expected, plain = gradients(lambda x: plainly(body, x), body, x)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_the_random_state_after_a_backward_pass_is_that_of_plain_autograd():
    body = stage(3, gate=Layer.of("stochastic_depth", survive=0.5)).train()
    after = []
    for function in (body, lambda x: plainly(body, x)):
        gradients(function, body, inputs())
        after.append(torch.rand(4))
    assert torch.equal(*after)


def test_frozen_parameters_and_inputs_get_no_gradient():
    body = stage(3)
    frozen = body.blocks[1].cell.layer
    frozen.requires_grad_(False)
    body(inputs().detach()).sum().backward()
    assert all(parameter.grad is None for parameter in frozen.parameters())
    assert body.blocks[0].cell.norm.weight.grad.any()
    body.requires_grad_(False)
    assert not body(inputs().detach()).requires_grad
    with torch.no_grad():
        assert not body(inputs()).requires_grad


def kept(body, x):
    """Numbers kept between the passes, parameters aside."""
    own = {parameter.data_ptr() for parameter in body.parameters()}
    sizes = []

    def pack(tensor):
        if tensor.data_ptr() not in own:
            sizes.append(tensor.numel())
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        y = body(x)
    y.sum().backward()
    return sum(sizes)


def test_what_is_kept_for_the_backward_pass_does_not_grow_with_depth():
    found = [kept(stage(copies), inputs()) for copies in (1, 4, 16)]
    # the two last streams
    assert found == [2 * 3 * LENGTH * WIDTH] * 3


@pytest.mark.parametrize(("copies", "error"), [(16, 1e-13), (64, 1e-10)])
def test_inputs_are_rebuilt_to_the_last_digits(copies, error):
    body, x = stage(copies).eval(), inputs().detach()
    one = other = x
    for half in body._halves():
        one, other = other, one + half(other)
    for half in reversed(body._halves()):
        one, other = other - half(one), one
    assert max((one - x).abs().max(), (other - x).abs().max()) < error


@pytest.mark.parametrize("tie", CATALOG.names("tie"))
def test_in_a_loop_too_gradients_are_those_of_plain_autograd(tie, monkeypatch):
    block = Block(Layer("gru"), channel=Layer("glu"))
    plain = Stage((block,), 2, 3, Layer(tie), connections=Layer("reversible"))
    architecture = CATALOG.complete_architecture(Architecture(WIDTH, (plain,)))
    model = build(architecture, CATALOG, EVERY_STEP, seed=0).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(2, LENGTH, 3, dtype=torch.float64, generator=generator)
    found = []
    for forward in (Reversible.forward, plainly):
        monkeypatch.setattr(Reversible, "forward", forward)
        found.append(torch.autograd.grad(model(x)[0].square().sum(), list(model.parameters())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_a_second_derivative_is_refused():
    body, x = stage(1), inputs()
    (slope,) = torch.autograd.grad(body(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        slope.square().sum().backward()
