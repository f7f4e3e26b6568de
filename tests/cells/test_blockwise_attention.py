"""Sparse patterns in blocks, stretches and clusters against the masked form, in a cell too."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention import by_stretch, clustered, few_keys, head_blocks, routing
from archsearch.cells.attention.attention import Attention, alibi_slopes
from archsearch.cells.attention.blockwise import chunked_attention, strided_attention
from archsearch.cells.attention.distance_bias import sloped
from archsearch.cells.attention.head_blocks import HeadBlocks
from archsearch.cells.attention.patterns import seen
from archsearch.cells.attention.routing import Routing

WAYS = {"chunked": chunked_attention, "strided": strided_attention}


@pytest.mark.parametrize("pattern", WAYS)
@pytest.mark.parametrize("alibi", [True, False])
@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 40, 41])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_blocks_equal_the_mask_in_values_and_gradients(pattern, alibi, length, size):
    torch.manual_seed(0)
    q, k, v = (
        torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    slopes = alibi_slopes(3).double()
    bias = sloped(slopes, torch.float64) if alibi else None
    i, j = torch.arange(length)[:, None], torch.arange(length)
    lowered = (slopes[:, None, None] if alibi else 0) * (j - i).double()
    mask = lowered.masked_fill(~seen(pattern, i, j, size, size), -math.inf)
    want = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    got = WAYS[pattern](q, k, v, size, bias, False)
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    expected = torch.autograd.grad(want, (q, k, v), weight)
    for fast, slow in zip(torch.autograd.grad(got, (q, k, v), weight), expected, strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("positions", ["rope", "alibi", "none"])
@pytest.mark.parametrize(("pattern", "length"), [("chunked", 150), ("strided", 450)])
def test_a_cell_takes_blocks_for_long_sequences_and_means_the_same(
    pattern, length, positions, monkeypatch
):
    torch.manual_seed(0)
    cell = Attention(8, 2, pattern, window=10, stride=9, positions=positions).double().eval()
    x, calls = torch.randn(2, length, 8, dtype=torch.float64), []
    name = f"{pattern}_attention"
    monkeypatch.setattr(few_keys, name, lambda *given: calls.append(1) or WAYS[pattern](*given))
    whole, _ = cell(x)
    assert calls == [1]
    # in pieces, from a cache, it is the mask
    first, state = cell(x[:, :70])
    second, _ = cell(x[:, 70:], state)
    assert calls == [1]
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def masked(q, k, v, allowed, slopes):
    """(B, H, T, d) by one product over all pairs."""
    length = q.shape[2]
    far = (torch.arange(length)[:, None] - torch.arange(length)).to(q.dtype)
    lowered = -far * (0 if slopes is None else slopes[:, None, None])
    return scaled_dot_product_attention(q, k, v, attn_mask=lowered.masked_fill(~allowed, -math.inf))


def same_in_values_and_gradients(got, want, given):
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(want)
    expected = torch.autograd.grad(want, given, weight)
    for fast, slow in zip(torch.autograd.grad(got, given, weight), expected, strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("alibi", [True, False])
@pytest.mark.parametrize("length", [1, 2, 31, 32, 33, 100])
@pytest.mark.parametrize("stride", [1, 3, 8, 50])
def test_stretches_of_fixed_blocks_equal_the_mask(alibi, length, stride, monkeypatch):
    monkeypatch.setattr(by_stretch, "STRETCH", 16)
    torch.manual_seed(0)
    given = [torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for _ in "qkv"]
    slopes = alibi_slopes(3).double() if alibi else None
    i, j = torch.arange(length)[:, None], torch.arange(length)
    want = masked(*given, seen("fixed", i, j, 0, stride), slopes)
    bias = None if slopes is None else sloped(slopes, torch.float64)
    got = by_stretch.fixed_attention(*given, stride, bias, False)
    same_in_values_and_gradients(got, want, given)


@pytest.mark.parametrize("alibi", [True, False])
@pytest.mark.parametrize("length", [1, 5, 32, 67])
@pytest.mark.parametrize("block", [1, 3, 16, 20, 48])
def test_stretches_of_a_heads_own_blocks_equal_the_mask(alibi, length, block, monkeypatch):
    monkeypatch.setattr(by_stretch, "STRETCH", 16)
    monkeypatch.setattr(head_blocks, "FARTHEST", 6)
    torch.manual_seed(0)
    given = [torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for _ in "qkv"]
    slopes = alibi_slopes(3).double() if alibi else None
    blocks = HeadBlocks(3, block, 0.5, 1)
    blocks.chosen.copy_(torch.rand(3, 6) < 0.4)
    blocks.chosen[:, 0] = True
    at = torch.arange(length)
    back = at[:, None] // block - at // block
    allowed = (at[:, None] >= at) & blocks.chosen[:, back.clamp(0, 5)]
    want = masked(*given, allowed, slopes)
    bias = None if slopes is None else sloped(slopes, torch.float64)
    got = by_stretch.head_blocks_attention(*given, blocks, bias, False)
    same_in_values_and_gradients(got, want, given)
    assert torch.equal(blocks.count(at), allowed.sum(-1))


@pytest.mark.parametrize("length", [1, 9, 64])
@pytest.mark.parametrize("count", [1, 4, 40])
def test_packed_clusters_equal_the_mask(length, count, monkeypatch):
    monkeypatch.setattr(clustered, "WORTH", 0)
    torch.manual_seed(0)
    given = [torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True) for _ in "qkv"]
    of_query, of_key = torch.randint(0, count, (2, 2, 3, length))
    far = torch.arange(length)[:, None] - torch.arange(length)
    allowed = ((of_query[..., None] == of_key[:, :, None]) & (far > 0)) | (far == 0)
    want = masked(*given, allowed, None)
    got = clustered.clustered_attention(*given, of_query, of_key, count, 0.5)
    same_in_values_and_gradients(got, want, given)


def test_clusters_that_save_little_are_not_packed():
    q = torch.randn(1, 1, 64, 4)
    in_one = torch.zeros(1, 1, 64, dtype=torch.long)
    assert clustered.clustered_attention(q, q, q, in_one, in_one, 8, 0.5) is None
    spread = (torch.arange(64) % 8)[None, None]
    assert clustered.clustered_attention(q, q, q, spread, spread, 8, 0.5) is not None


@pytest.mark.parametrize("options", [{"pattern": "fixed", "stride": 32}, {"pattern": "perhead"}])
def test_a_cell_goes_by_stretches_for_long_sequences_and_means_the_same(options, monkeypatch):
    torch.manual_seed(0)
    cell = Attention(8, 2, **options).double().eval()
    if cell.blocks is not None:
        cell.blocks.chosen[:, 1::2] = False
    x, calls = torch.randn(2, 1100, 8, dtype=torch.float64), []
    for name in ("fixed_attention", "head_blocks_attention"):
        way = getattr(by_stretch, name)
        monkeypatch.setattr(few_keys, name, lambda *given, way=way: calls.append(1) or way(*given))
    whole, _ = cell(x)
    assert calls == [1]
    first, state = cell(x[:, :70])
    second, _ = cell(x[:, 70:], state)
    assert calls == [1]
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_routed_heads_sort_long_sequences_and_mean_the_same(monkeypatch):
    torch.manual_seed(0)
    found = []

    def packed(*given):
        found.append(clustered.clustered_attention(*given))
        return found[-1]

    monkeypatch.setattr(routing, "clustered_attention", packed)
    cell = Routing(16, 4, clusters=16, window=4).double()
    x = torch.randn(2, 600, 16, dtype=torch.float64)
    cell(x)
    cell.eval()
    whole, _ = cell(x)
    assert found[-1] is not None
    calls = len(found)
    first, state = cell(x[:, :70])
    second, _ = cell(x[:, 70:], state)
    assert len(found) == calls
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
