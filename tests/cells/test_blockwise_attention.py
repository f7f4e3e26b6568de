"""Chunked and strided attention in blocks against the masked form, and where a cell takes them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention import attention as module
from archsearch.cells.attention.attention import Attention, alibi_slopes
from archsearch.cells.attention.blockwise import chunked_attention, strided_attention
from archsearch.cells.attention.patterns import seen

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
    slopes = alibi_slopes(3).double() if alibi else None
    i, j = torch.arange(length)[:, None], torch.arange(length)
    lowered = (slopes[:, None, None] if alibi else 0) * (j - i).double()
    mask = lowered.masked_fill(~seen(pattern, i, j, size, size), -math.inf)
    want = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    got = WAYS[pattern](q, k, v, size, slopes)
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
    monkeypatch.setattr(module, name, lambda *given: calls.append(1) or WAYS[pattern](*given))
    whole, _ = cell(x)
    assert calls == [1]
    # in pieces, from a cache, it is the mask
    first, state = cell(x[:, :70])
    second, _ = cell(x[:, 70:], state)
    assert calls == [1]
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
