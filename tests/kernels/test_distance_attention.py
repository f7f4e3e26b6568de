"""Attention over given distances against the masked product that defines it."""

from __future__ import annotations

import pytest
import torch

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


def masked(q, k, v, added, rectify, distances):
    keys, queries = k.shape[2], q.shape[2]
    far = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    scores = (q @ k.mT * q.shape[3] ** -0.5).masked_fill(
        ~torch.isin(far, torch.tensor(distances)), -torch.inf
    )
    for n, distance in enumerate(distances):
        scores = scores + torch.where(far == distance, added[:, n, None, None], 0.0)
    return (torch.relu(scores) if rectify else scores.softmax(-1)) @ v


@pytest.fixture
def calls(monkeypatch):
    seen = []
    apply = distance_attention_cpu._Attention.apply
    monkeypatch.setattr(
        distance_attention_cpu._Attention, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("distances", DISTANCES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_forms_equal_the_masked_product(shape, distances, rectify, calls):
    added = torch.linspace(-0.5, 0.5, shape[1] * len(distances)).view(shape[1], -1)
    exact = [*problem(shape, torch.float64), added.double().requires_grad_()]
    want = masked(*exact, rectify, distances)
    torch.manual_seed(1)
    weight = torch.randn_like(want)
    expected = torch.autograd.grad(want, exact, weight)
    for form, dtype in (
        (distance_attention, torch.float32),
        (distance_attention.plain, torch.float64),
    ):
        inputs = [*problem(shape, dtype), added.to(dtype).detach().requires_grad_()]
        got = form(*inputs, rectify, distances)
        close = {"rtol": 1e-4, "atol": 1e-5} if dtype == torch.float32 else {}
        torch.testing.assert_close(got.double(), want, **close)
        for found, true in zip(
            torch.autograd.grad(got, inputs, weight.to(dtype)), expected, strict=True
        ):
            torch.testing.assert_close(found.double(), true, **close)
    assert calls == [1]


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(calls):
    q, k, v = problem((2, 3, 17, 20, 5))
    added, distances = torch.zeros(3, 5), (0, 1, 2, 4, 8)
    expected = distance_attention(q, k, v, added, False, distances)
    kept = [part.detach().clone() for part in (q, k, v)]
    moved = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in (q, k, v)]
    found = distance_attention(*moved, added, False, distances)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.sum().backward()  # a gradient without strides
    assert all(torch.equal(a, b) for a, b in zip((q, k, v), kept, strict=True))
    assert len(calls) == 2


def test_large_scores_stay_finite_and_what_is_no_number_is_seen(calls):
    q, k, v = problem((1, 2, 40, 40, 4))
    added, distances = torch.zeros(2, 4), (0, 1, 2, 4)
    y = distance_attention(1e4 * q, k, v, added, False, distances)
    (slope,) = torch.autograd.grad(y.sum(), q)
    assert y.isfinite().all()
    assert slope.isfinite().all()
    torch.testing.assert_close(y, distance_attention.plain(1e4 * q, k, v, added, False, distances))
    assert distance_attention(1e4 * q, k, v, added, True, distances).isfinite().all()
    broken = k.detach().clone().requires_grad_()
    with torch.no_grad():
        broken[0, 0, 10] = torch.nan
    missing = distance_attention(q, broken, v, added, False, distances)[0, 0].isnan().all(-1)
    assert missing.nonzero().flatten().tolist() == [10, 11, 12, 14]
    missing = distance_attention(q, broken, v, added, True, distances)[0, 0].isnan().all(-1)
    assert missing.nonzero().flatten().tolist() == [10, 11, 12, 14]
    assert len(calls) == 4


def test_what_is_not_trained_in_single_precision_is_left_to_torch(calls):
    for dtype in (torch.float64, torch.bfloat16):
        distance_attention(
            *problem((1, 1, 5, 5, 4), dtype), torch.zeros(1, 2, dtype=dtype), False, (0, 1)
        )
    with torch.no_grad():
        distance_attention(*problem((1, 1, 5, 5, 4)), torch.zeros(1, 2), False, (0, 1))
    assert calls == []
