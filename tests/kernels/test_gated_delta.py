"""The chunkwise gated delta rule against its recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.gated_delta import gated_delta, gated_delta_reference
from archsearch.kernels.memories.linear_attention import linear_attention

SHAPES = [(1, 1, 1, 1, 1), (1, 16, 2, 3, 4), (2, 37, 3, 4, 5), (3, 5, 1, 2, 3), (1, 130, 2, 4, 4)]
# more than a tile of keys and values, more than two tiles, more keys than registers hold
WIDE = [(2, 18, 2, 17, 16), (1, 3, 2, 5, 35), (2, 37, 2, 35, 20)]
FORMS = pytest.mark.parametrize("form", [gated_delta, gated_delta.plain], ids=["compiled", "plain"])


def problem(shape, reach=2, fastest=1.0, dtype=torch.float64):
    rows, steps, heads, key, value = shape
    torch.manual_seed(0)
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, heads, key, dtype=dtype),
            normalize(torch.randn(rows, steps, heads, key, dtype=dtype), dim=-1),
            torch.randn(rows, steps, heads, value, dtype=dtype),
            reach * torch.rand(rows, steps, heads, dtype=dtype),
            -fastest * torch.rand(rows, steps, heads, dtype=dtype),
            torch.randn(rows, heads, key, value, dtype=dtype),
        )
    ]


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("fastest", [0.05, 1.0, 7.0])
@pytest.mark.parametrize("shape", SHAPES + WIDE, ids=str)
@FORMS
def test_equals_the_recurrence(form, shape, fastest, reach):
    inputs = problem(shape, reach, fastest)
    fast, slow = form(*inputs), gated_delta_reference(*inputs)
    weights = [torch.randn_like(part) for part in slow]
    expected = torch.autograd.grad(slow, inputs, weights)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    for got, want in zip(torch.autograd.grad(fast, inputs, weights), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


@FORMS
def test_gradcheck(form):
    assert torch.autograd.gradcheck(form, problem((2, 19, 1, 2, 2)))


def test_without_fading_it_is_the_delta_rule():
    q, k, v, beta, log_decay, memory = (part.detach() for part in problem((2, 37, 3, 4, 5)))
    for got, want in zip(
        gated_delta(q, k, v, beta, 0 * log_decay, memory),
        delta_rule(q, k, v, beta, memory),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_with_keys_that_never_meet_it_is_linear_attention():
    q, _, v, _, log_decay, memory = (part.detach() for part in problem((2, 12, 1, 12, 5)))
    k = torch.eye(12, dtype=torch.float64).expand(2, 12, 12)[:, :, None]
    out, left = gated_delta(q, k, v, torch.ones(2, 12, 1).double(), log_decay, 0 * memory)
    wanted, kept = linear_attention(q, k, v, log_decay, 0 * memory)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(left, kept)


def test_the_decay_comes_before_the_delta_is_read():
    key = normalize(torch.randn(1, 1, 1, 8), dim=-1)
    held, value = torch.randn(1, 1, 5), torch.randn(1, 1, 1, 5)
    memory = key[:, 0, :, :, None] * held[:, :, None]
    half = torch.full((1, 1, 1), 0.5)
    out, _ = gated_delta(key, key, value, half, half.log(), memory)
    torch.testing.assert_close(out[:, 0], 0.5 * (0.5 * held) + 0.5 * value[:, 0])


@FORMS
def test_single_precision_stays_exact_when_gates_saturate(form):
    inputs = [
        part.detach().requires_grad_()
        for part in problem((2, 130, 2, 4, 4), 2, 30.0, torch.float32)
    ]
    exact = gated_delta_reference(*(part.double() for part in inputs))[0]
    error = (form(*inputs)[0].double() - exact).abs().max() / exact.abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("which", range(5), ids=["q", "k", "v", "beta", "decay"])
def test_a_missing_number_reaches_no_earlier_answer(which, trained):
    inputs = [part.detach() for part in problem((2, 40, 2, 16, 16), 1)]
    want = gated_delta(*inputs)[0]
    for at in (0, 5, 16, 39):
        broken = [part.clone() for part in inputs]
        broken[which][0, at] = torch.nan
        with torch.set_grad_enabled(trained):
            found = gated_delta(*(part.requires_grad_() for part in broken))[0]
        assert found[0, at].isnan().all()
        torch.testing.assert_close(found[0, :at], want[0, :at])
        torch.testing.assert_close(found[1], want[1])
