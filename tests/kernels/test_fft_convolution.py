"""The long per-channel convolution against torch's grouped one, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv1d

from archsearch.kernels.convolutions.fft_convolution import DIRECT_UP_TO, fft_convolution


@pytest.mark.parametrize("taps", [1, 3, DIRECT_UP_TO, DIRECT_UP_TO + 1, 64, 201])
@pytest.mark.parametrize(("rows", "length", "channels"), [(1, 1, 1), (3, 1, 4), (2, 97, 5)])
def test_equals_the_grouped_convolution(rows, length, channels, taps):
    torch.manual_seed(0)
    x = torch.randn(rows, channels, length + taps - 1, dtype=torch.float64).mT.requires_grad_()
    kernel = torch.randn(taps, channels, dtype=torch.float64, requires_grad=True)
    got = fft_convolution(x, kernel)
    want = conv1d(x.mT, kernel.flip(0).t()[:, None], groups=channels).mT
    torch.testing.assert_close(got, want)
    upstream = torch.randn_like(want)
    expected = torch.autograd.grad(want, (x, kernel), upstream)
    for fast, slow in zip(torch.autograd.grad(got, (x, kernel), upstream), expected, strict=True):
        torch.testing.assert_close(fast, slow)


def test_gradcheck():
    x = torch.randn(2, 25, 2, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(20, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fft_convolution, (x, kernel))


def test_half_precision_is_computed_in_single():
    torch.manual_seed(0)
    x, kernel = torch.randn(2, 100, 3), torch.randn(40, 3)
    got = fft_convolution(x.bfloat16(), kernel.bfloat16())
    assert got.dtype == torch.bfloat16
    want = fft_convolution(x.bfloat16().float(), kernel.bfloat16().float())
    torch.testing.assert_close(got, want.bfloat16())
