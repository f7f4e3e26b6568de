"""Memories that overwrite, from their definition: activations, norms of keys, values and gates."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from archsearch.cells.linear.deltanet import DeltaNet
from archsearch.cells.linear.deltaproduct import DeltaProduct
from archsearch.cells.linear.gated_deltanet import GatedDeltaNet
from archsearch.cells.linear.keys import unit_sum
from archsearch.errors import ArchitectureError

CELLS = [DeltaNet, GatedDeltaNet, DeltaProduct]
ACTIVATIONS = {
    "silu": lambda x: x * torch.sigmoid(x),
    "relu": lambda x: x.clamp_min(0),
    "identity": lambda x: x,
}
NORMS = {
    "l2": lambda x: x / x.square().sum(-1, keepdim=True).sqrt().clamp_min(1e-6),
    "sum": lambda x: x / x.sum(-1, keepdim=True).clamp_min(1e-6),
}


def by_definition(cell, x, activation, norm, steps=1):
    """The memory as it stands, times one matrix I - beta k k' after the other; no convolution."""
    heads, keys, values = cell.heads, cell.head_size, cell.value_size
    mixed = ACTIVATIONS[activation](x @ cell.project.weight.T)
    q, k, v = mixed.tensor_split([heads * keys, (1 + steps) * heads * keys], -1)
    q = NORMS[norm](q.unflatten(-1, (heads, keys)))
    k = NORMS[norm](k.unflatten(-1, (steps, heads, keys)))
    v = v.unflatten(-1, (steps, heads, values))
    beta = cell.beta_range * torch.sigmoid(cell.strength(x)).unflatten(-1, (steps, heads))
    fading = getattr(cell, "fading", None)
    memory, reads = x.new_zeros(len(x), heads, keys, values), []
    for t in range(x.shape[1]):
        if fading is not None:
            alpha = torch.exp(-fading.a_log.exp() * softplus(fading.rate(x[:, t])))
            memory = alpha[..., None, None] * memory
        for j in range(steps):
            key, strength = k[:, t, j], beta[:, t, j, :, None, None]
            kept = torch.eye(keys) - strength * key[..., None] * key[..., None, :]
            memory = kept @ memory + strength * key[..., None] * v[:, t, j, :, None]
        reads.append((q[:, t, :, :, None] * memory).sum(2))
    read = torch.stack(reads, 1)
    normed = read / (read.square().mean(-1, keepdim=True) + 1e-5).sqrt() * cell.norm.weight
    opened = 1.0 if cell.open is None else ACTIVATIONS["silu"](x @ cell.open.weight.T)
    return (normed.flatten(2) * opened) @ cell.output.weight.T


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y, *torch.autograd.grad((weight * y).sum(), [x, *cell.parameters()])]


OPTIONS = [
    (DeltaNet, {"norm": "sum", "activation": "relu", "beta_range": 2}),
    (DeltaNet, {"expand_v": 2.0}),
    (DeltaNet, {"output_gate": True, "activation": "relu"}),
    (GatedDeltaNet, {"norm": "sum", "activation": "relu", "expand_v": 2.0}),
    (GatedDeltaNet, {"activation": "identity"}),
    (DeltaProduct, {"norm": "sum", "activation": "relu", "steps": 3}),
    (DeltaProduct, {"activation": "identity", "output_gate": True}),
    (DeltaProduct, {"expand_v": 2.0, "output_gate": True, "fade": True}),
]


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 19)])
@pytest.mark.parametrize(
    ("kind", "options"), OPTIONS, ids=lambda p: "-".join(p) if isinstance(p, dict) else p.__name__
)
def test_is_its_definition(kind, options, rows, steps):
    torch.manual_seed(0)
    cell = kind(6, heads=2, head_size=3, conv=0, **options)
    nn.init.normal_(cell.norm.weight)
    nn.init.normal_(cell.project.weight)  # as it starts, the epsilon of the norm is all there is
    x = torch.randn(rows, steps, 6, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    writes = options.get("steps", 2) if kind is DeltaProduct else 1
    how = options.get("activation", "silu"), options.get("norm", "l2")
    expected = with_gradients(cell, exact, by_definition(cell, exact, *how, writes))
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-3)


def test_a_sum_of_one_is_a_share_of_each_feature_and_no_longer_than_one():
    torch.manual_seed(0)
    x = torch.rand(50, 5)
    x[0], x[1] = 0.0, torch.tensor([0.0, 3.0, 0.0, 0.0, 0.0])
    share = unit_sum(x)
    torch.testing.assert_close(share[1:].sum(-1), torch.ones(49))
    assert share.norm(dim=-1).max() <= 1 + 1e-6
    assert share[1].tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert not share[0].any()


@pytest.mark.parametrize("kind", CELLS)
def test_a_key_of_one_feature_and_sum_one_is_overwritten_whole(kind):
    torch.manual_seed(0)
    more = {"steps": 1, "beta_range": 1} if kind is DeltaProduct else {}
    cell = kind(8, heads=1, head_size=4, conv=0, activation="relu", norm="sum", **more)
    nn.init.constant_(cell.strength.bias, 30.0)
    with torch.no_grad():
        cell.project.weight.zero_()
        cell.project.weight[4:8, :4] = torch.eye(4)  # the key: the first half of x
        cell.project.weight[8:, 4:] = torch.eye(4)  # the value: the second half
        key, first, second = 7 * torch.eye(4)[1], torch.rand(4), torch.rand(4)
        x = torch.stack([torch.cat([key, first]), torch.cat([key, second])])[None]
        _, (memory, _) = cell(x)
    torch.testing.assert_close(memory[0, 0, 1], second)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("activation", ["silu", "identity"])
def test_sums_that_may_be_negative_are_refused(kind, activation):
    with pytest.raises(ArchitectureError, match=f"{activation} may .*; take activation relu or"):
        kind(8, activation=activation, norm="sum")


@pytest.mark.parametrize("kind", [DeltaNet, DeltaProduct])
def test_a_gate_comes_after_all_that_is_drawn_without_one(kind):
    built = []
    for gate in (False, True):
        torch.manual_seed(0)
        built.append(kind(8, output_gate=gate))
    plain, gated = built
    for name, part in plain.named_parameters():
        assert torch.equal(part, gated.get_parameter(name))
    assert list(dict(gated.named_parameters()))[-1] == "open.weight"
