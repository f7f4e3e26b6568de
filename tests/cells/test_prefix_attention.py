"""Prefix linear attention: its equations, and what its prefix knows of order."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.attention.linear_attention import LinearAttention
from archsearch.cells.linear.prefix_attention import FEATURES, PrefixAttention
from archsearch.kernels.memories.pair_products import pair_products


def test_taylor_features_multiply_to_the_second_order_of_exp():
    torch.manual_seed(0)
    x, y = torch.randn(2, 7, 5).double().unbind(0)
    inner = (x * y).sum(-1)
    torch.testing.assert_close(
        (pair_products(x) * pair_products(y)).sum(-1), 1 + inner + inner**2 / 2
    )


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("prefix", [1, 10, 100])
def test_is_its_quadratic_form(features, prefix):
    torch.manual_seed(0)
    cell = PrefixAttention(8, heads=2, prefix=prefix, feature_size=4, features=features).double()
    x = torch.randn(2, 37, 8).double()
    q, (k, first), (v, second) = cell._split(x)
    scores = torch.einsum("bihf,bjhf->bhij", q, k).tril()
    again = torch.einsum("bihf,bjhf->bhij", q, first).tril()
    again[..., prefix:] = 0
    total = (scores + again).sum(-1, keepdim=True).clamp_min(1e-6)
    read = (scores @ v[..., :-1].transpose(1, 2) + again @ second[..., :-1].transpose(1, 2)) / total
    expected = cell.output(read.transpose(1, 2).flatten(2))
    torch.testing.assert_close(cell(x)[0], expected, rtol=1e-6, atol=1e-8)


def test_behind_the_prefix_all_of_it_has_been_written_twice():
    torch.manual_seed(0)
    cell = PrefixAttention(8, heads=2, prefix=12).double()
    x = torch.randn(2, 30, 8).double()
    q, (k, first), (v, second) = cell._split(x)
    for i in (12, 29):
        weights = torch.einsum("bhf,bjhf->bhj", q[:, i], k[:, : i + 1])
        extra = torch.einsum("bhf,bjhf->bhj", q[:, i], first[:, :12])
        summed = torch.einsum("bhj,bjhv->bhv", weights, v[:, : i + 1])
        summed = summed + torch.einsum("bhj,bjhv->bhv", extra, second[:, :12])
        read = summed[..., :-1] / summed[..., -1:]
        torch.testing.assert_close(cell(x)[0][:, i], cell.output(read.flatten(1)))


def test_the_order_of_the_prefix_does_not_matter_behind_it():
    torch.manual_seed(0)
    cell = PrefixAttention(8, heads=2, prefix=12).double()
    x = torch.randn(2, 30, 8).double()
    shuffled = torch.cat([x[:, torch.randperm(12)], x[:, 12:]], 1)
    torch.testing.assert_close(cell(shuffled)[0][:, 12:], cell(x)[0][:, 12:])
    assert not torch.allclose(cell(shuffled)[0][:, :12], cell(x)[0][:, :12])


def test_without_keys_of_its_own_the_prefix_adds_nothing():
    torch.manual_seed(0)
    cell = PrefixAttention(8, heads=2, prefix=12, features="relu2").double()
    with torch.no_grad():
        cell.project.weight[32:48] = 0.0  # the prefix's keys
    x = torch.randn(2, 30, 8).double()
    q, (k, _), (v, _) = cell._split(x)
    scores = torch.einsum("bihf,bjhf->bhij", q, k).tril()
    read = scores @ v[..., :-1].transpose(1, 2) / scores.sum(-1, keepdim=True).clamp_min(1e-6)
    torch.testing.assert_close(cell(x)[0], cell.output(read.transpose(1, 2).flatten(2)))


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y, *torch.autograd.grad((weight * y).sum(), [x, *cell.parameters()])]


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 37)])
@pytest.mark.parametrize("features", FEATURES)
def test_without_a_prefix_it_is_linear_attention(features, rows, steps):
    torch.manual_seed(0)
    cell = PrefixAttention(6, heads=2, prefix=0, feature_size=4, features=features)
    x = torch.randn(rows, steps, 6, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    q, k, v = (exact @ cell.project.weight.T).tensor_split([8, 16], -1)
    q, k, v = (part.unflatten(-1, (2, -1)) for part in (q, k, v))
    if features == "taylor":
        inner = torch.einsum("bihf,bjhf->bhij", q, k) / 2
        scores = 1 + inner + inner**2 / 2
    else:
        maps = {
            "elu": lambda a: torch.where(a > 0, a + 1, a.exp()),
            "relu2": lambda a: a.relu() ** 2,
        }
        q, k = (maps[features](part / 2**0.5) for part in (q, k))
        scores = torch.einsum("bihf,bjhf->bhij", q, k)
    scores = scores.tril()
    read = scores @ v.transpose(1, 2) / scores.sum(-1, keepdim=True).clamp_min(1e-6)
    expected = with_gradients(cell, exact, read.transpose(1, 2).flatten(2) @ cell.output.weight.T)
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


def test_without_a_prefix_the_cell_of_that_name_gives_the_same():
    torch.manual_seed(0)
    cell = PrefixAttention(8, heads=2, prefix=0, feature_size=4, features="elu").double()
    plain = LinearAttention(8, heads=2, features="elu1").double()
    with torch.no_grad():
        plain.output.weight.copy_(cell.output.weight)
        plain.project.weight.copy_(cell.project.weight)
        plain.project.weight[:16] *= 4**-0.25
    x = torch.randn(2, 19, 8).double()
    torch.testing.assert_close(cell(x)[0], plain(x)[0], rtol=1e-5, atol=1e-6)
