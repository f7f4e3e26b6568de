"""Retention whose rates are learned: where they start, where they stay, and how long they keep."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import silu

from archsearch.build import build
from archsearch.cells.linear.retention import Retention
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature


def quadratic(cell, x, rates):
    """The parallel form, of all pairs of positions, with powers of the rates (H,)."""
    heads, steps, keys = cell.heads, x.shape[1], cell.key_size
    parts = (x @ cell.project.weight.T).tensor_split([8, 16], -1)
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in parts)
    if cell.rotary:
        angles = torch.arange(steps)[:, None] * 10000.0 ** (-torch.arange(0, keys, 2) / keys)
        turn = torch.exp(1j * angles)[:, None]
        pairs = (torch.complex(part[..., ::2], part[..., 1::2]) * turn for part in (q, k))
        q, k = (torch.cat([pair.real, pair.imag], -1) for pair in pairs)
    distance = torch.arange(steps)[:, None] - torch.arange(steps)
    decay = (rates[:, None, None] ** distance.clamp_min(0)).tril()
    scores = torch.einsum("bihk,bjhk->bhij", q, k) * keys**-0.5 * decay
    read = torch.einsum("bhij,bjhv->bihv", scores, v)
    normed = read / (read.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return (normed.flatten(2) * silu(x @ cell.open.weight.T)) @ cell.output.weight.T


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y, *torch.autograd.grad((weight * y).sum(), [x, *cell.parameters()])]


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (1, 21), (2, 19)])
def test_is_its_parallel_form_with_learned_rates(rows, steps, rotary):
    torch.manual_seed(0)
    cell = Retention(8, heads=2, expand_v=2.0, rotary=rotary, decay="learned")
    with torch.no_grad():
        cell.keep.copy_(torch.tensor([0.3, -1.2]))
    x = torch.randn(rows, steps, 8, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    rates = 1 / (1 + torch.exp(-cell.keep))
    # a single position has not forgotten anything yet
    expected = with_gradients(cell, exact, quadratic(cell, exact, rates) + 0 * rates.sum())
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("exponent", [1.0, 5.0, 10.0])
def test_learned_rates_start_at_the_fixed_ones(exponent):
    built = []
    for decay in ("fixed", "learned"):
        torch.manual_seed(0)
        built.append(Retention(64, heads=32, exponent=exponent, decay=decay))
    fixed, learned = built
    torch.testing.assert_close(learned._log_decay(), fixed.log_decay, rtol=1e-4, atol=0.0)
    x = torch.randn(2, 20, 64)
    torch.testing.assert_close(learned(x)[0], fixed(x)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pull", [-100.0, 100.0])
def test_learned_rates_stay_between_nothing_and_all(pull):
    torch.manual_seed(0)
    cell = Retention(8, heads=2, decay="learned")
    with torch.no_grad():
        cell.keep.add_(pull)
    x = torch.randn(1, 50, 8)
    y, (memory, _) = cell(x)
    gradients = torch.autograd.grad(y.sum(), list(cell.parameters()))
    assert all(part.isfinite().all() for part in (y, memory, *gradients))
    share = cell._log_decay().exp()
    assert ((share >= 0.99 * torch.exp(torch.tensor(-5.0))) & (share <= 1)).all()


def test_a_memory_that_keeps_everything_grows_as_a_sum_and_answers_in_size_all_the_same():
    torch.manual_seed(0)
    cell = Retention(8, heads=2, rotary=False, decay="learned")
    with torch.no_grad():
        cell.keep.fill_(60.0)
    x = torch.randn(1, 1, 8).expand(1, 4000, 8)
    with torch.no_grad():
        early, (few, _) = cell(x[:, :400])
        late, (many, _) = cell(x)
    torch.testing.assert_close(many, 10 * few, rtol=1e-3, atol=0.0)
    torch.testing.assert_close(late[:, -1], early[:, -1], rtol=1e-2, atol=1e-4)


def test_rates_do_not_decay():
    catalog = load_catalog()
    stage = Stage((Block(Layer.of("retention", decay="learned")),))
    architecture = catalog.complete_architecture(Architecture(16, (stage,)))
    signature = Signature("values", 3, "class", 4, every_step=False, length=9)
    network = build(architecture, catalog, signature, seed=0)
    assert any(name.endswith("cell.layer.keep") for name in network.no_decay())
