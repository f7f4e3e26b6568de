"""The per-channel convolution against torch's grouped one, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv1d

from archsearch.kernels.convolutions.depthwise import depthwise


@pytest.mark.parametrize(
    ("rows", "length", "channels", "taps", "dilation"),
    [
        *((1, 1, 1, 1, 1), (1, 1, 3, 4, 1), (3, 17, 5, 4, 1), (2, 9, 6, 2, 3), (1, 1, 2, 3, 5)),
        # whole vectors, which are compiled; more steps than are summed at once
        *((1, 1, 16, 1, 1), (2, 150, 32, 4, 1), (1, 7, 16, 3, 5)),
    ],
)
def test_equals_the_grouped_convolution(rows, length, channels, taps, dilation):
    torch.manual_seed(0)
    past = (taps - 1) * dilation
    x = torch.randn(rows, channels, length + past, dtype=torch.float64).mT.requires_grad_()
    weight = torch.randn(taps, channels, dtype=torch.float64, requires_grad=True)
    got = depthwise(x, weight, dilation)
    want = conv1d(x.mT, weight.t()[:, None], groups=channels, dilation=dilation).mT
    torch.testing.assert_close(got, want)
    upstream = torch.randn_like(want)
    expected = torch.autograd.grad(want, (x, weight), upstream)
    for fast, slow in zip(torch.autograd.grad(got, (x, weight), upstream), expected, strict=True):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("channels", [3, 16])
def test_gradcheck(channels):
    x = torch.randn(2, 8, channels, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, channels, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(depthwise, (x, weight))
    assert torch.autograd.gradcheck(depthwise, (x, weight, 2))


def test_the_plain_form_is_differentiated_twice():
    x = torch.randn(2, 8, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(depthwise.plain, (x, weight, 2))
