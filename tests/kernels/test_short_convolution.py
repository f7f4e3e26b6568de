"""The short convolution and its silu in one pass, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.convolutions.short_convolution import short_convolution

# (B, T, C, taps): fewer steps than taps, as many as are done at once, some fewer, and more, of
# many channels, of other taps, and channels of no whole vector
SIZES = [
    *((1, 1, 16, 4), (3, 1, 32, 4), (2, 2, 32, 4), (2, 3, 16, 4), (1, 64, 16, 4), (2, 63, 16, 4)),
    *((3, 150, 48, 4), (2, 19, 784, 4)),
    *((2, 9, 16, 2), (2, 9, 16, 1), (2, 80, 32, 3), (2, 9, 5, 3)),
]


def problem(rows, steps, channels, taps):
    torch.manual_seed(0)
    parts = (
        # a part of a wider projection, whose rows do not touch
        torch.randn(rows, steps, channels + 7),
        torch.randn(rows, taps - 1, channels),
        torch.randn(taps, channels),
    )
    return [part.requires_grad_() for part in parts]


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_plain_form_in_double_precision(size, activated):
    inputs = problem(*size)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got = short_convolution(inputs[0][..., 3:-4], *inputs[1:], activated)
    want = short_convolution.plain(exact[0][..., 3:-4], *exact[1:], activated)
    upstream = torch.randn_like(got)
    found = torch.autograd.grad(got, inputs, upstream)
    expected = torch.autograd.grad(want, exact, upstream.double())
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "steps"), [(1, 5), (3, 1), (1, 1)])
def test_the_stride_of_a_dimension_of_one_means_nothing(rows, steps):
    x, recent, weight = (part.detach() for part in problem(rows, steps, 16, 4))
    x = x[..., :16].contiguous()
    expected = short_convolution.plain(x, recent, weight, True)
    for apart in (0, 7):
        strides = [apart if size == 1 else by for size, by in zip(x.shape, x.stride(), strict=True)]
        moved = x.as_strided(x.shape, strides).requires_grad_()
        found = short_convolution(moved, recent, weight, True)
        assert type(found.grad_fn).__name__ == "_ConvolutionBackward"
        torch.testing.assert_close(found, expected)
        slope = torch.randn_like(expected)
        (got,) = torch.autograd.grad(found, moved, slope.as_strided(x.shape, strides))
        clean = x.clone().requires_grad_()
        plain = short_convolution.plain(clean, recent, weight, True)
        (want,) = torch.autograd.grad(plain, clean, slope)
        torch.testing.assert_close(got, want)


def test_whole_vectors_are_compiled_and_other_channels_are_not():
    names = []
    for channels in (16, 5):
        x, recent, weight = problem(2, 6, channels, 4)
        y = short_convolution(x[..., :channels], recent, weight, True)
        names.append(type(y.grad_fn).__name__)
    assert names == ["_ConvolutionBackward", "SiluBackward0"]


def test_gradcheck():
    inputs = [part.detach().double().requires_grad_() for part in problem(2, 5, 16, 3)]
    inputs[0] = inputs[0][..., :16].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda *parts: short_convolution(*parts, True), inputs)


def test_inputs_that_saturate_stay_finite():
    x = torch.tensor([-300.0, 300.0]).repeat_interleave(16).view(1, 2, 16).requires_grad_()
    weight = torch.ones(1, 16, requires_grad=True)
    y = short_convolution(x, x.new_zeros(1, 0, 16), weight, True)
    torch.testing.assert_close(y.detach(), x.detach().clamp_min(0.0), rtol=0, atol=1e-30)
    assert all(part.isfinite().all() for part in torch.autograd.grad(y.sum(), (x, weight)))


@pytest.mark.parametrize("channels", [16, 5])
@pytest.mark.parametrize("cut", [1, 2, 7])
def test_a_sequence_cut_in_two_gives_what_the_whole_gives(channels, cut):
    torch.manual_seed(0)
    layer = ShortConv(channels, 4, activated=True)
    x, empty = torch.randn(2, 9, channels), torch.zeros(2, 3, channels)
    whole, left = layer(x, empty)
    first, between = layer(x[:, :cut], empty)
    second, last = layer(x[:, cut:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    assert torch.equal(last, left)
    assert torch.equal(left, x[:, -3:])
    one, after = layer.step(x[:, 0], empty)
    torch.testing.assert_close(one, whole[:, 0])
    assert torch.equal(after[:, -1], x[:, 0])
