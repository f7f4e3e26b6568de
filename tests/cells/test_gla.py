"""Gated linear attention from its definition: the gate's rank, features, and few keys."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.cells.linear.gla import GLA

FEATURES = {
    "identity": lambda x: x,
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "relu": lambda x: x.clamp_min(0),
    "elu1": lambda x: torch.where(x > 0, x + 1, x.clamp_max(0).exp()),
}


def by_definition(cell, x, features, tau=16.0):
    """One position and one sum at a time, with powers in the place of logarithms."""
    keys, heads = cell.sizes[0], cell.heads
    mixed = x @ cell.project.weight.T
    if cell.conv.taps:
        taps = cell.conv.taps
        rows = torch.cat([x.new_zeros(len(x), taps - 1, mixed.shape[2]), mixed], 1)
        mixed = sum(rows[:, j : j + x.shape[1]] * cell.conv.weight[j] for j in range(taps))
        mixed = FEATURES["silu"](mixed)
    q, k, v = (p.unflatten(-1, (heads, -1)) for p in mixed.tensor_split([keys, 2 * keys], -1))
    q, k = FEATURES[features](q), FEATURES[features](k)
    down, up = cell.gate[0].weight, cell.gate[1]
    kept = (1 / (1 + torch.exp(-(x @ down.T @ up.weight.T + up.bias)))) ** (1 / tau)
    kept = kept.unflatten(-1, (heads, -1))
    memory, reads = 0.0, []
    for t in range(x.shape[1]):
        memory = kept[:, t, :, :, None] * memory + k[:, t, :, :, None] * v[:, t, :, None]
        reads.append((q[:, t, :, :, None] * memory).sum(2) / q.shape[-1] ** 0.5)
    read = torch.stack(reads, 1)
    normed = read / (read.square().mean(-1, keepdim=True) + 1e-5).sqrt() * cell.norm.weight
    opened = FEATURES["silu"](x @ cell.open.weight.T)
    return (normed.flatten(2) * opened) @ cell.output.weight.T


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y, *torch.autograd.grad((weight * y).sum(), [x, *cell.parameters()])]


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 21)])
@pytest.mark.parametrize("conv", [0, 4])
@pytest.mark.parametrize("features", FEATURES)
def test_is_its_definition_with_any_features(features, conv, rows, steps):
    torch.manual_seed(0)
    cell = GLA(8, heads=2, conv=conv, rank=3, features=features)
    x = torch.randn(rows, steps, 8, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    expected = with_gradients(cell, exact, by_definition(cell, exact, features))
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("heads", "expand_k"), [(4, 0.25), (1, 0.25), (2, 1.0)])
def test_is_its_definition_with_few_keys(heads, expand_k):
    torch.manual_seed(0)
    cell = GLA(16, heads=heads, expand_k=expand_k, rank=1, tau=1.0).double()
    x = torch.randn(2, 21, 16, dtype=torch.float64, requires_grad=True)
    assert cell.initial_state(2)[0].shape == (2, heads, int(16 * expand_k) // heads, 16 // heads)
    expected = with_gradients(cell, x, by_definition(cell, x, "identity", tau=1.0))
    for fast, slow in zip(with_gradients(cell, x, cell(x)[0]), expected, strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-7, atol=1e-9)


def test_the_rank_is_that_of_what_the_gate_sees():
    torch.manual_seed(0)
    for rank in (1, 5):
        cell = GLA(16, rank=rank)
        seen = cell.gate[1].weight @ cell.gate[0].weight
        assert torch.linalg.matrix_rank(seen, rtol=1e-4) == rank


@pytest.mark.parametrize("features", ["relu", "elu1"])
def test_with_positive_features_all_that_is_written_is_read(features):
    """No product of a query and a key is negative, so values above zero answer above zero."""
    torch.manual_seed(0)
    cell = GLA(8, heads=2, features=features)
    q, k, _, _ = cell._split(cell.project(torch.randn(2, 9, 8)), torch.randn(2, 9, 8))
    assert q.min() >= 0
    assert k.min() >= 0


def test_half_precision_keeps_small_features():
    torch.manual_seed(0)
    cell = GLA(8, heads=2, features="elu1")
    nn.init.constant_(cell.project.weight, -1.0)
    x = torch.ones(1, 3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        q, _, _, _ = cell._split(cell.project(x), x)
    torch.testing.assert_close(q, torch.full_like(q, torch.exp(torch.tensor(-8.0))))
