"""Linear attention over elu(x) + 1 as compiled loops, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.positive.positive_attention import positive_attention

# (B, T, heads, d): one of each, heads of less than a lane, of one, of one and a half, an odd one
SIZES = [(1, 1, 1, 4), (2, 37, 2, 16), (3, 5, 4, 24), (1, 70, 3, 7), (2, 1, 2, 32), (1, 9, 1, 1)]


def problem(size):
    rows, steps, heads, width = size
    torch.manual_seed(0)
    projected = torch.randn(rows, steps, 3 * heads * width)
    return projected.requires_grad_(), torch.rand(rows, heads, width, width + 1).requires_grad_()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_plain_form_in_double_precision(size):
    inputs = problem(size)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got, want = positive_attention(*inputs), positive_attention.plain(*exact)
    assert type(got[0].grad_fn).__name__ == "_QuotientBackward"
    upstream = [torch.randn_like(part) for part in got]
    found = torch.autograd.grad(got, inputs, upstream)
    expected = torch.autograd.grad(want, exact, [part.double() for part in upstream])
    for fast, slow in zip((*got, *found), (*want, *expected), strict=True):
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast.double(), slow, rtol=1e-4, atol=1e-5)


def test_inputs_and_slopes_may_lie_in_any_way():
    projected, memory = problem((3, 21, 2, 16))
    moved = projected.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    turned = memory.detach().mT.contiguous().mT
    slope = torch.randn(32, 3, 21).permute(1, 2, 0)
    (got,) = torch.autograd.grad(positive_attention(moved, turned)[0], moved, slope)
    (want,) = torch.autograd.grad(
        positive_attention(projected, memory)[0], projected, slope.contiguous()
    )
    torch.testing.assert_close(got, want)


def test_gradients_of_the_memory_left_alone():
    inputs = problem((2, 20, 2, 8))
    got, want = (
        torch.autograd.grad(form(*inputs)[1].square().sum(), inputs)
        for form in (positive_attention, positive_attention.plain)
    )
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("at", [5, 16, 30])
def test_a_missing_number_reaches_no_earlier_answer_and_no_other_row(at):
    projected, memory = problem((2, 40, 2, 8))
    with torch.no_grad():
        projected[0, at] = torch.nan
    answers, left = positive_attention(projected, memory)
    assert torch.isfinite(answers[0, :at]).all()
    assert answers[0, at:].isnan().all()
    assert torch.isfinite(answers[1]).all()
    assert torch.isfinite(left[1]).all()


@pytest.mark.parametrize("value", [-200.0, -30.0, 0.0, 30.0])
def test_features_of_any_size(value):
    projected, memory = problem((1, 6, 1, 8))
    with torch.no_grad():
        projected[0, :, :16] = value
    found = positive_attention(projected, memory)
    exact = [part.detach().double().requires_grad_() for part in (projected, memory)]
    want = positive_attention.plain(*exact)
    for got, true in zip(found, want, strict=True):
        torch.testing.assert_close(got.double(), true, rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(found[0].sum(), projected)
    assert torch.isfinite(slope).all()
