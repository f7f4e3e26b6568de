"""A causal convolution of every channel on its own, for many taps, through Fourier transforms."""

from __future__ import annotations

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from archsearch.kernels.convolutions.depthwise import depthwise

DIRECT_UP_TO = 16  # taps that a pass each costs less than three transforms


def fft_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """y_t = sum_j kernel_j x_{t + taps - 1 - j}, per channel.

    ``x`` is (B, T + taps - 1, C), the past on the left, and ``kernel`` (taps, C), the newest tap
    first. Returns (B, T, C) in O(T log T) a channel. Half precision is computed in float32.
    """
    taps = len(kernel)
    if taps <= DIRECT_UP_TO:
        return depthwise(x, kernel.flip(0))
    if x.dtype in (torch.bfloat16, torch.float16):
        return fft_convolution(x.float(), kernel.float()).to(x.dtype)
    # a circular convolution is the right one wherever it does not wrap around
    size = _fast_length(x.shape[1])
    spectrum = torch.fft.rfft(x, size, 1) * torch.fft.rfft(kernel, size, 0)
    return torch.fft.irfft(spectrum, size, 1)[:, taps - 1 : x.shape[1]]


def _fast_length(least: int) -> int:
    # a compiler of graphs does not see into scipy
    if torch.compiler.is_compiling():
        return 1 << (least - 1).bit_length()
    found: int = next_fast_len(least, real=True)
    return found
