"""The loops of a short convolution and its silu in single precision, sixteen channels at once.

``x`` is the memory of (B, T, C) whose rows lie ``places[3]`` apart and whose positions lie
``places[4]`` apart, C a multiple of ``WIDTH``; ``places`` begins with B, T and C. ``recent`` is
(B, taps - 1, C), ``weight`` (taps, C), ``y`` (B, T, C). ``places[5]`` is one where silu follows.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.convolutions.depthwise_loops import BLOCK
from archsearch.kernels.convolutions.short_convolution_taps import (
    TAPS,
    convolve,
    convolve_back,
    silu,
    silu_slope,
)
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    x: np.ndarray, recent: np.ndarray, weight: np.ndarray, y: np.ndarray, places: np.ndarray
) -> None:
    batch, steps, width, across, apart, activated = places
    past, zero = weight.shape[0] - 1, splat(float32(0))
    for n in range(batch):
        if past == TAPS - 1:
            convolve(x, recent, weight, y, n, places)
            continue
        for t in range(steps):
            for c in range(0, width, WIDTH):
                sums = zero
                for tap in range(past + 1):
                    if t + tap < past:
                        seen = load(recent, (n * past + t + tap) * width + c)
                    else:
                        seen = load(x, n * across + (t + tap - past) * apart + c)
                    sums = fused(seen, load(weight, tap * width + c), sums)
                store(y, (n * steps + t) * width + c, silu(sums) if activated else sums)


@contracted
def backward(
    dy: np.ndarray,
    x: np.ndarray,
    recent: np.ndarray,
    weight: np.ndarray,
    dx: np.ndarray,
    drecent: np.ndarray,
    dweight: np.ndarray,
    places: np.ndarray,
) -> None:
    """``dx`` is (B, T, C), ``dweight`` zero at first."""
    batch, steps, width, across, apart, activated = places
    taps = weight.shape[0]
    past = taps - 1
    zero, one = splat(float32(0)), splat(float32(1))
    block, slopes = np.zeros(taps * width, float32), np.zeros(taps * width, float32)
    for n in range(batch):
        if taps == TAPS:
            convolve_back(dy, x, recent, weight, dx, drecent, dweight, slopes, n, places)
            continue
        slopes[:] = 0
        for t in range(steps + past):
            now = t % taps * width
            for c in range(0, width, WIDTH):
                slope = zero
                if t < steps:
                    slope = load(dy, (n * steps + t) * width + c)
                    if activated:
                        sums = zero
                        for tap in range(taps):
                            if t + tap < past:
                                seen = load(recent, (n * past + t + tap) * width + c)
                            else:
                                seen = load(x, n * across + (t + tap - past) * apart + c)
                            sums = fused(seen, load(weight, tap * width + c), sums)
                        slope = product(slope, silu_slope(sums))
                    for tap in range(taps):
                        at = tap * width + c
                        if t + tap < past:
                            seen = load(recent, (n * past + t + tap) * width + c)
                        else:
                            seen = load(x, n * across + (t + tap - past) * apart + c)
                        store(block, at, fused(slope, seen, load(block, at)))
                store(slopes, now + c, slope)
                sums = zero
                for tap in range(taps):
                    row = t - tap
                    before = row % taps * width if row >= 0 else now
                    if row >= 0:
                        sums = fused(load(slopes, before + c), load(weight, tap * width + c), sums)
                if t < past:
                    store(drecent, (n * past + t) * width + c, sums)
                else:
                    store(dx, (n * steps + t - past) * width + c, sums)
            if t % BLOCK == BLOCK - 1 or t == steps + past - 1:
                for at in range(0, taps * width, WIDTH):
                    store(dweight, at, fused(one, load(block, at), load(dweight, at)))
                    store(block, at, zero)
