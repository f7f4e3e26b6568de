"""Attention over given distances against the masked product that defines it."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.kernels.attention import distance_attention_cpu
from archsearch.kernels.attention.distance_attention import distance_attention

torch.set_num_threads(1)

# rows, heads, queries, keys, size: one of everything, odd everything, keys before the first query
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 17, 17, 5),
    (1, 2, 1, 9, 4),
    (3, 1, 33, 40, 16),
    (2, 2, 70, 70, 8),
]
DISTANCES = [(0,), (0, 1, 2, 4, 8, 16, 32, 64), (0, 3, 6, 9), (0, 100)]


def problem(shape, dtype=torch.float32):
    rows, heads, queries, keys, size = shape
    torch.manual_seed(0)
    sizes = [(rows, heads, length, size) for length in (queries, keys, keys)]
    return [torch.randn(size, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]


def masked(q, k, v, slopes, distances):
    keys, queries = k.shape[2], q.shape[2]
    far = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    allowed = torch.isin(far, torch.tensor(distances))
    bias = (slopes[:, None, None] * -far).masked_fill(~allowed, -torch.inf)
    return scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))


@pytest.fixture
def calls(monkeypatch):
    seen = []
    apply = distance_attention_cpu._Attention.apply
    monkeypatch.setattr(
        distance_attention_cpu._Attention, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


@pytest.mark.parametrize("sloping", [True, False])
@pytest.mark.parametrize("distances", DISTANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_forms_equal_the_masked_product(shape, distances, sloping, calls):
    slopes = torch.linspace(0.1, 0.5, shape[1]) if sloping else torch.zeros(shape[1])
    exact = problem(shape, torch.float64)
    want = masked(*exact, slopes.double(), distances)
    torch.manual_seed(1)
    weight = torch.randn_like(want)
    expected = torch.autograd.grad(want, exact, weight)
    for form, dtype in (
        (distance_attention, torch.float32),
        (distance_attention.plain, torch.float64),
    ):
        inputs = problem(shape, dtype)
        got = form(*inputs, slopes.to(dtype), distances)
        close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {}
        torch.testing.assert_close(got.double(), want, **close)
        for found, true in zip(
            torch.autograd.grad(got, inputs, weight.to(dtype)), expected, strict=True
        ):
            torch.testing.assert_close(found.double(), true, **close)
    assert calls == [1]


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(calls):
    q, k, v = problem((2, 3, 17, 20, 5))
    slopes, distances = torch.zeros(3), (0, 1, 2, 4, 8)
    expected = distance_attention(q, k, v, slopes, distances)
    kept = [part.detach().clone() for part in (q, k, v)]
    moved = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in (q, k, v)]
    found = distance_attention(*moved, slopes, distances)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.sum().backward()  # a gradient without strides
    assert all(torch.equal(a, b) for a, b in zip((q, k, v), kept, strict=True))
    assert len(calls) == 2


def test_large_scores_stay_finite_and_what_is_no_number_is_seen(calls):
    q, k, v = problem((1, 2, 40, 40, 4))
    slopes, distances = torch.zeros(2), (0, 1, 2, 4)
    y = distance_attention(1e4 * q, k, v, slopes, distances)
    (slope,) = torch.autograd.grad(y.sum(), q)
    assert y.isfinite().all()
    assert slope.isfinite().all()
    torch.testing.assert_close(y, distance_attention.plain(1e4 * q, k, v, slopes, distances))
    broken = k.detach().clone().requires_grad_()
    with torch.no_grad():
        broken[0, 0, 10] = torch.nan
    missing = distance_attention(q, broken, v, slopes, distances)[0, 0].isnan().all(-1)
    assert missing.nonzero().flatten().tolist() == [10, 11, 12, 14]
    assert len(calls) == 2


def test_what_is_not_trained_in_single_precision_is_left_to_torch(calls):
    for dtype in (torch.float64, torch.bfloat16):
        distance_attention(*problem((1, 1, 5, 5, 4), dtype), torch.zeros(1, dtype=dtype), (0, 1))
    with torch.no_grad():
        distance_attention(*problem((1, 1, 5, 5, 4)), torch.zeros(1), (0, 1))
    assert calls == []
