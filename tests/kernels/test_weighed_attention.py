"""Attention in stretches with weights of several kinds, against one masked product."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import profile

from archsearch.kernels.attention import weighed_attention, weighed_attention_cpu
from archsearch.kernels.attention.weighed_attention import weigh
from archsearch.kernels.choose import VARIABLE

torch.set_num_threads(1)

attention = weighed_attention.weighed_attention
KINDS = ["relu2", "laplace", "softmax"]
# rows, queries, keys before them, size of a key, of a value
SHAPES = [(1, 1, 0, 2, 3), (2, 7, 5, 3, 2), (3, 30, 0, 4, 4), (1, 25, 40, 2, 6)]


@pytest.fixture
def calls(monkeypatch):
    """Stretches of eight queries."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(weighed_attention, "STRETCH", 8)
    monkeypatch.setattr(weighed_attention_cpu, "KEPT", 8)
    seen = []
    apply = weighed_attention_cpu._Attention.apply
    monkeypatch.setattr(
        weighed_attention_cpu._Attention, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


def problem(shape, biased=True, dtype=torch.float64):
    rows, length, past, size, values = shape
    torch.manual_seed(0)
    drawn = [torch.randn(rows, length, size), torch.randn(rows, past + length, size)]
    drawn += [torch.randn(rows, past + length, values), 0.5 * torch.randn(9)]
    return [part.to(dtype).requires_grad_() for part in drawn[: 4 if biased else 3]]


def masked(q, k, v, added, there, kind, window):
    far = torch.arange(k.shape[1] - q.shape[1], k.shape[1])[:, None] - torch.arange(k.shape[1])
    near = (far >= 0) & (far < (window or k.shape[1]))
    bias = 0.0 if added is None else added[far.clamp(0, len(added) - 1)]
    return weigh(q @ k.mT, bias, near & there[:, None], kind, q.shape[2]) @ v


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [None, 1, 11])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_both_forms_equal_the_masked_product(shape, biased, window, kind, calls):
    inputs = problem(shape, biased)
    rest = [*([] if biased else [None]), torch.rand(shape[0], shape[1] + shape[2]) < 0.8]
    rest += [kind, window]
    want = masked(*inputs, *rest)
    slope = torch.randn_like(want)
    for form in (attention, attention.plain):
        got = form(*inputs, *rest)
        torch.testing.assert_close(got, want)
        for fast, slow in zip(
            torch.autograd.grad(got, inputs, slope, retain_graph=True),
            torch.autograd.grad(want, inputs, slope, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(fast, slow)
    assert len(calls) == (shape[1] > 8)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [None, 5])
@pytest.mark.parametrize("which", [1, 2], ids=["key", "value"])
def test_a_missing_number_reaches_those_that_see_it_alone(which, window, kind, trained, calls):
    inputs = problem((2, 30, 4, 3, 2), dtype=torch.float32)
    with torch.no_grad():
        inputs[which][0, 15] = torch.nan
    with torch.set_grad_enabled(trained):
        there = torch.ones(2, 34, dtype=torch.bool)
        found = attention(*inputs, there, kind, window)
    first = 11  # the query whose own key it is
    missing = torch.zeros(2, 30, dtype=torch.bool)
    missing[0, first : 30 if window is None else first + window] = True
    assert torch.equal(found.isnan().all(-1), missing)
    assert torch.equal(found.isnan().any(-1), missing)
    assert len(calls) == trained


@pytest.mark.parametrize("kind", KINDS)
def test_memory_grows_with_the_length_and_not_with_its_square(kind, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)

    def most(length):
        inputs = problem((1, length, 0, 4, 4), dtype=torch.float32)
        there = torch.ones(1, length, dtype=torch.bool)
        with profile(profile_memory=True) as seen:
            attention(*inputs, there, kind, None).sum().backward()
        return max(event.cpu_memory_usage for event in seen.events())

    assert most(2048) <= 2.5 * most(1024)
