"""The convolution over all channels as compiled loops, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.convolutions.causal_convolution import causal_convolution

# (B, T, inputs, outputs, taps, dilation): one block of steps, one and a bit, several with a rest,
# a single tap, taps farther apart than a block, and more outputs than inputs and fewer
SIZES = [
    *((2, 16, 16, 32, 3, 1), (1, 17, 32, 16, 3, 4), (3, 150, 48, 64, 5, 2), (2, 33, 16, 16, 1, 1)),
    *((2, 64, 16, 16, 2, 8), (1, 31, 64, 128, 3, 16), (2, 81, 128, 64, 2, 1)),
]


def problem(rows, steps, inputs, outputs, taps, dilation):
    torch.manual_seed(0)
    parts = (
        torch.randn(rows, steps + (taps - 1) * dilation, inputs),
        torch.randn(outputs, inputs, taps) * (inputs * taps) ** -0.5,
        torch.randn(outputs),
    )
    return [part.requires_grad_() for part in parts]


def compiled(y):
    return type(y.grad_fn).__name__ == "_ConvolutionBackward"


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_plain_form_in_double_precision(size, rectified):
    inputs, dilation = problem(*size), size[-1]
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got = causal_convolution(*inputs, dilation, rectified)
    want = causal_convolution.plain(*exact, dilation, rectified)
    assert compiled(got)
    upstream = torch.randn_like(got)
    found = torch.autograd.grad(got, inputs, upstream)
    expected = torch.autograd.grad(want, exact, upstream.double())
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-4)


def test_inputs_slopes_and_weights_may_lie_in_any_way():
    x, weight, bias = problem(3, 20, 16, 32, 3, 2)
    turned = x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    moved = weight.detach().permute(2, 0, 1).contiguous().permute(1, 2, 0).requires_grad_()
    want = causal_convolution(x, weight, bias, 2, False)
    got = causal_convolution(turned, moved, bias, 2, False)
    assert torch.equal(got, want)
    slope = torch.randn(32, 3, 20).permute(1, 2, 0)
    found = torch.autograd.grad(got, (turned, moved), slope)
    expected = torch.autograd.grad(want, (x, weight), slope.contiguous())
    for fast, slow in zip(found, expected, strict=True):
        torch.testing.assert_close(fast, slow)


def test_no_output_and_no_slope_sees_beyond_its_taps():
    x, weight, bias = problem(1, 40, 16, 16, 3, 2)
    with torch.no_grad():
        x[0, 25] = torch.nan
    y = causal_convolution(x, weight, bias, 2, True)
    assert y.isnan().any(-1).nonzero()[:, 1].tolist() == [21, 23, 25]
    upstream = torch.zeros_like(y)
    upstream[0, 30] = torch.nan
    clean = torch.ones_like(x).requires_grad_()
    (slope,) = torch.autograd.grad(
        causal_convolution(clean, weight, bias, 2, False), clean, upstream
    )
    assert slope.isnan().any(-1).nonzero()[:, 1].tolist() == [30, 32, 34]


@pytest.mark.parametrize(
    "size", [(2, 15, 16, 16, 3, 1), (2, 20, 8, 16, 3, 1), (2, 20, 16, 24, 3, 1)], ids=str
)
def test_short_inputs_and_other_channels_are_left_to_torch(size):
    assert not compiled(causal_convolution(*problem(*size), size[-1], False))


def test_evaluation_is_left_to_torch():
    parts = problem(2, 20, 16, 16, 3, 1)
    with torch.no_grad():
        y = causal_convolution(*parts, 1, False)
    torch.testing.assert_close(y, causal_convolution(*parts, 1, False))


def test_gradcheck():
    parts = [part.detach().double().requires_grad_() for part in problem(2, 16, 16, 16, 2, 1)]
    assert torch.autograd.gradcheck(lambda *given: causal_convolution(*given, 1, False), parts)
