"""Attention in stretches against the masked product that defines it, and what it keeps."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import profile

from archsearch.kernels.attention import stretch_attention_cpu
from archsearch.kernels.attention.stretch_attention import stretch_attention

torch.set_num_threads(1)

# rows, length, size
SHAPES = [(1, 1, 1), (3, 7, 5), (2, 8, 4), (5, 67, 8), (1, 130, 16)]
STRETCH = 8


def problem(shape, dtype=torch.float64):
    torch.manual_seed(0)
    drawn = [torch.randn(shape, dtype=torch.float64) for _ in "qkv"]
    drawn.append(torch.randn(shape[:2], dtype=torch.float64))
    return [part.to(dtype).requires_grad_() for part in drawn]


def allowed(length):
    """(T, T): a random pattern with one's own position."""
    drawn = torch.rand(130, 130, generator=torch.Generator().manual_seed(1))[:length, :length] < 0.4
    drawn[:, ::5] = True
    return (drawn | torch.eye(length, dtype=torch.bool)).tril()


def look(begin, end):
    """What all of the stretch sees in front, the rest behind it and turned round."""
    mask = allowed(end)[begin:]
    common, some = mask.all(0), mask.any(0)
    rest = (some & ~common).nonzero().flatten().flip(0)
    return torch.cat([common.nonzero().flatten(), rest]), ~mask[:, rest]


def masked(q, k, v, added, rectify):
    length = q.shape[1]
    far = (torch.arange(length)[:, None] - torch.arange(length)).clamp_min(0)
    scores = q @ k.mT * q.shape[2] ** -0.5
    scores = scores if added is None else scores + added[:, far]
    scores = scores.masked_fill(~allowed(length), -torch.inf)
    return (torch.relu(scores) if rectify else scores.softmax(-1)) @ v


@pytest.fixture
def calls(monkeypatch):
    seen = []
    apply = stretch_attention_cpu._Attention.apply
    monkeypatch.setattr(
        stretch_attention_cpu._Attention, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


@pytest.mark.parametrize("pairs", [1, 2**17])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_forms_equal_the_masked_product(shape, rectify, biased, pairs, calls, monkeypatch):
    monkeypatch.setattr(stretch_attention_cpu, "PAIRS", pairs)
    exact = problem(shape) if biased else [*problem(shape)[:3], None]
    wanted = exact if biased else exact[:3]
    want = masked(*exact, rectify)
    weight = torch.randn_like(want)
    expected = torch.autograd.grad(want, wanted, weight)
    for form in (stretch_attention, stretch_attention.plain):
        got = form(*exact, rectify, STRETCH, look)
        torch.testing.assert_close(got, want)
        for found, true in zip(torch.autograd.grad(got, wanted, weight), expected, strict=True):
            torch.testing.assert_close(found, true)
    assert calls == [1]
    single = problem(shape, torch.float32) if biased else [*problem(shape, torch.float32)[:3], None]
    got = stretch_attention(*single, rectify, STRETCH, look)
    close = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(got.double(), want, **close)
    found = torch.autograd.grad(got, single if biased else single[:3], weight.float())
    for slope, true in zip(found, expected, strict=True):
        torch.testing.assert_close(slope.double(), true, **close)
    assert calls == [1, 1]


@pytest.mark.parametrize("rectify", [True, False])
def test_large_scores_stay_finite_and_what_is_no_number_is_seen(rectify, calls):
    q, k, v, _ = problem((1, 40, 4), torch.float32)
    y = stretch_attention(1e4 * q, k, v, None, rectify, STRETCH, look)
    (slope,) = torch.autograd.grad(y.sum(), q)
    assert y.isfinite().all()
    assert slope.isfinite().all()
    broken = k.detach().clone().requires_grad_()
    with torch.no_grad():
        broken[0, 11] = torch.nan
    missing = stretch_attention(q, broken, v, None, rectify, STRETCH, look)[0].isnan().all(-1)
    assert torch.equal(missing, allowed(40)[:, 11])
    assert len(calls) == 2


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(calls):
    q, k, v, added = problem((3, 21, 4), torch.float32)
    kept = [part.detach().clone() for part in (q, k, v, added)]
    expected = stretch_attention(q, k, v, added, False, STRETCH, look)
    moved = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in (q, k, v)]
    found = stretch_attention(*moved, added, False, STRETCH, look)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found.sum().backward()  # a gradient without strides
    assert all(torch.equal(a, b) for a, b in zip((q, k, v, added), kept, strict=True))
    assert len(calls) == 2


def test_what_is_not_trained_in_single_or_double_precision_is_left_to_torch(calls):
    stretch_attention(*problem((1, 5, 4), torch.bfloat16), False, STRETCH, look)
    with torch.no_grad():
        stretch_attention(*problem((1, 5, 4)), False, STRETCH, look)
    assert calls == []


@pytest.mark.parametrize("rectify", [True, False])
def test_memory_grows_with_the_length_and_not_with_its_square(rectify):
    """Every query over the 64 before it: the largest allocation, forward and backward."""

    def near(begin, end):
        keys = torch.arange(max(begin - 64, 0), end)
        i = torch.arange(begin, end)[:, None]
        return keys, (keys > i) | (keys <= i - 64)

    def largest(length):
        given = problem((1, length, 4), torch.float32)[:3]
        with profile(profile_memory=True) as seen:
            stretch_attention(*given, None, rectify, 64, near).sum().backward()
        return max(event.cpu_memory_usage for event in seen.events())

    small, large = largest(1024), largest(4096)
    assert large <= 4.5 * small
    assert large < 4096 * 4096
