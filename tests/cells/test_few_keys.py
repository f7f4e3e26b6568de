"""Every pattern, normaliser and bias over its own keys alone against the masked product."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import profile

from archsearch.cells.attention import attention as module
from archsearch.cells.attention.attention import Attention
from archsearch.cells.attention.patterns import seen, sight

torch.set_num_threads(1)

PATTERNS = ("full", "window", "power", "strided", "fixed", "chunked", "dilated", "perhead")
NORMALISERS = ("softmax", "relu_length", "reluformer", "rela")
LENGTH = 571  # above all thresholds, and no multiple of anything


def built(pattern, normaliser="softmax", positions="none", **options):
    torch.manual_seed(0)
    options = {"window": 10, "stride": 9} | options
    cell = Attention(8, 2, pattern, normaliser=normaliser, positions=positions, **options)
    if cell.bias is not None:
        torch.nn.init.normal_(cell.bias)
    if cell.blocks is not None:
        cell.blocks.calls.fill_(cell.blocks.dense)
        cell.blocks.chosen.copy_(torch.rand(cell.blocks.chosen.shape) < 0.3)
        cell.blocks.chosen[:, 0] = True
    return cell


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("positions", ["none", "alibi", "relative"])
@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_equals_the_masked_product_in_values_and_gradients(
    pattern, normaliser, positions, monkeypatch
):
    cell = built(pattern, normaliser, positions, block=7).double()
    x = torch.randn(2, LENGTH, 8, dtype=torch.float64, requires_grad=True)
    given, found = (x, *cell.parameters()), []
    way = module.over_few_keys

    def watched(*all_):
        found.append(way(*all_))
        return found[-1]

    monkeypatch.setattr(module, "over_few_keys", watched)
    fast = cell(x)[0]
    # the softmax over all keys has a way of its own
    assert cell._sees_all() if not found else found[0] is not None
    monkeypatch.setattr(module, "over_few_keys", lambda *_: None)
    monkeypatch.setattr(Attention, "_sees_all", lambda _: False)
    slow = cell(x)[0]
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, given, weight)
    for got, want in zip(torch.autograd.grad(fast, given, weight), expected, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_pieces_from_a_cache_are_the_whole(pattern, normaliser):
    cell = built(pattern, normaliser, "alibi", block=16).double().eval()
    x = torch.randn(1, LENGTH, 8, dtype=torch.float64)
    whole, _ = cell(x)
    first, state = cell(x[:, :300])
    second, state = cell(x[:, 300:570], state)
    last, _ = cell.step(x[:, 570], state)
    torch.testing.assert_close(torch.cat([first, second, last[:, None]], 1), whole)


@pytest.mark.parametrize("normaliser", ["softmax", "relu_length"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_later_position_changes_nothing(pattern, normaliser):
    cell = built(pattern, normaliser, block=16)
    x = torch.randn(1, LENGTH, 8, requires_grad=True)
    y, _ = cell(x)
    (slope,) = torch.autograd.grad(y[:, :400].sum(), x)
    assert not slope[:, 400:].any()
    assert slope[:, :400].any(-1).all()


@pytest.mark.parametrize("size", [1, 4, 9])
@pytest.mark.parametrize("pattern", PATTERNS[:-1])
def test_positions_in_sight_are_counted_without_a_mask(pattern, size):
    i = torch.arange(140)
    allowed = seen(pattern, i[:, None], i, size, size)
    assert torch.equal(sight(i, pattern, size, size), allowed.sum(-1))


@pytest.mark.parametrize("block", [1, 7, 16])
def test_what_each_head_has_in_sight_is_counted_without_a_mask(block):
    cell = built("perhead", block=block)
    i = torch.arange(1300)
    allowed = cell.blocks(i.view(1, 1, -1, 1), i.view(1, 1, 1, -1))[0] & (i <= i[:, None])
    assert torch.equal(cell.blocks.count(i), allowed.sum(-1))


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("pattern", [pattern for pattern in PATTERNS if pattern != "strided"])
def test_nothing_as_large_as_all_pairs_is_made(pattern, normaliser):
    """A boolean mask of 4096 by 4096 would have 16 MiB; strided makes T / stride per query."""
    cell = built(pattern, normaliser, window=32, stride=64, block=64)
    x = torch.randn(1, 4096, 8, requires_grad=True)
    with profile(profile_memory=True) as recorded:
        cell(x)[0].sum().backward()
    largest = max(event.cpu_memory_usage for event in recorded.events())
    assert 4096 * 8 * 4 <= largest < 4096 * 4096
