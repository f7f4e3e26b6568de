"""The chunkwise decaying memory against its recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.linear_attention import (
    linear_attention,
    linear_attention_reference,
)

SHAPES = [(1, 1, 1, 1, 1), (1, 16, 2, 3, 4), (2, 37, 3, 4, 5), (3, 5, 1, 2, 3), (1, 130, 2, 4, 4)]
# more than a tile of keys and values, and more than two tiles
WIDE = [(2, 18, 2, 17, 16), (1, 3, 2, 5, 35)]
FORMS = pytest.mark.parametrize(
    "form", [linear_attention, linear_attention.plain], ids=["compiled", "plain"]
)


def problem(shape, per_head, dtype=torch.float64, strength=1.0):
    rows, steps, heads, key, value = shape
    torch.manual_seed(0)
    size = (1, steps, heads) if per_head else (rows, steps, heads, key)
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, heads, key, dtype=dtype),
            torch.randn(rows, steps, heads, key, dtype=dtype),
            torch.randn(rows, steps, heads, value, dtype=dtype),
            -strength * torch.rand(size, dtype=dtype),
            torch.randn(rows, heads, key, value, dtype=dtype),
        )
    ]


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("strength", [0.05, 1.0, 6.0])
@pytest.mark.parametrize("shape", SHAPES + WIDE, ids=str)
@FORMS
def test_equals_the_recurrence(form, shape, strength, per_head):
    inputs = problem(shape, per_head, strength=strength)
    fast, slow = form(*inputs), linear_attention_reference(*inputs)
    weights = [torch.randn_like(part) for part in slow]
    expected = torch.autograd.grad(slow, inputs, weights)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    for got, want in zip(torch.autograd.grad(fast, inputs, weights), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("per_head", [True, False])
@FORMS
def test_gradcheck(form, per_head):
    inputs = problem((2, 19, 1, 2, 2), per_head)
    assert torch.autograd.gradcheck(form, inputs)


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("strength", [1e-4, 4.99, 200.0])
@FORMS
def test_single_precision_stays_exact_when_gates_saturate(form, strength, per_head):
    inputs = problem((2, 70, 2, 4, 4), per_head, torch.float32, strength)
    if strength > 1:
        with torch.no_grad():
            inputs[3].fill_(-strength)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got, want = form(*inputs)[0], linear_attention_reference(*exact)[0]
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(got)
    found = torch.autograd.grad(got, inputs[:3], weight)
    expected = torch.autograd.grad(want, exact[:3], weight.double())
    for fast, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 5.0])
def test_slopes_of_decays_stay_exact_over_many_positions(strength, per_head):
    inputs = problem((1, 500, 2, 8, 16), per_head, torch.float32, strength)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got, want = linear_attention(*inputs)[0], linear_attention_reference(*exact)[0]
    weight = torch.randn_like(got)
    (found,) = torch.autograd.grad(got, inputs[3], weight)
    (expected,) = torch.autograd.grad(want, exact[3], weight.double())
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@FORMS
@pytest.mark.parametrize("per_head", [True, False])
def test_heads_may_share_queries_and_keys(form, per_head):
    q, k, v, decay, memory = problem((2, 19, 3, 17, 4), per_head)
    q, k = (part[:, :, :1].detach().requires_grad_() for part in (q, k))
    apart = [part.expand(-1, -1, 3, -1) for part in (q, k)]
    inputs = (q, k, v, decay, memory)
    fast, slow = form(*inputs), linear_attention_reference(*apart, v, decay, memory)
    weights = [torch.randn_like(part) for part in slow]
    slopes = [torch.autograd.grad(found, inputs, weights) for found in (fast, slow)]
    for got, want in zip((*fast, *slopes[0]), (*slow, *slopes[1]), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_without_decay_it_is_plain_linear_attention():
    q, k, v, decay, _ = (part.detach() for part in problem((2, 45, 2, 3, 5), False))
    out, memory = linear_attention(q, k, v, 0 * decay, q.new_zeros(2, 2, 3, 5))
    scores = torch.einsum("bihk,bjhk->bhij", q, k).tril()
    torch.testing.assert_close(out, torch.einsum("bhij,bjhv->bihv", scores, v))
    torch.testing.assert_close(memory, torch.einsum("bthk,bthv->bhkv", k, v))


@FORMS
def test_inputs_may_lie_anyhow_in_memory(form):
    inputs = problem((3, 21, 2, 4, 4), False)
    expected = form(*inputs)
    moved = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in inputs]
    for got, want in zip(form(*moved), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("steps", [1, 21])
@pytest.mark.parametrize("heads", [1, 2])
def test_parts_of_one_projection_are_read_where_they_lie(per_head, steps, heads):
    size = 16 * heads
    torch.manual_seed(0)
    whole = torch.randn(3, steps, 3 * size + 5, dtype=torch.float64, requires_grad=True)
    parts = [
        whole[..., at : at + size].unflatten(-1, (heads, -1)) for at in (2, size, 2 * size + 5)
    ]
    decay, memory = problem((3, steps, heads, 16, 16), per_head)[3:]
    inputs = (whole, decay, memory)
    slopes = []
    for form in (linear_attention, linear_attention_reference):
        found = form(*parts, decay, memory)
        weights = [torch.cos(part.detach()) for part in found]
        slopes.append((*found, *torch.autograd.grad(found, inputs, weights, retain_graph=True)))
    for got, want in zip(*slopes, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_one_position_may_have_any_stride():
    q, k, v, decay, memory = problem((3, 1, 2, 16, 16), True)
    odd = [
        part.detach().as_strided(part.shape, (32, 7, 16, 1)).requires_grad_() for part in (q, k, v)
    ]
    got = linear_attention(*odd, decay, memory)
    want = linear_attention_reference(q, k, v, decay, memory)
    found, expected = (
        torch.autograd.grad(out[0].square().sum(), parts)
        for out, parts in ((got, odd), (want, (q, k, v)))
    )
    for fast, slow in zip((*got, *found), (*want, *expected), strict=True):
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("which", range(4), ids=["q", "k", "v", "decay"])
@pytest.mark.parametrize("per_head", [True, False])
def test_a_missing_number_reaches_no_earlier_answer(per_head, which, trained):
    inputs = [part.detach() for part in problem((2, 40, 2, 16, 16), per_head, torch.float32)]
    want = linear_attention(*inputs)[0]
    for at in (0, 5, 16, 39):
        broken = [part.clone() for part in inputs]
        broken[which][0, at] = torch.nan
        with torch.set_grad_enabled(trained):
            found = linear_attention(*(part.requires_grad_() for part in broken))[0]
        assert found[0, at].isnan().all()
        torch.testing.assert_close(found[0, :at], want[0, :at], rtol=1e-4, atol=1e-5)
        # a decay of a head is that of all rows
        if len(inputs[which]) == 2:
            torch.testing.assert_close(found[1], want[1], rtol=1e-4, atol=1e-5)
