"""The loops of a causal convolution of every channel on its own, sixteen channels at once.

Arrays: ``x`` (B, T + (taps - 1) dilation, C) with C a multiple of ``WIDTH``, ``weight`` (taps, C),
``y`` (B, T, C), and ``dilation`` in an array of one number.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store

# so many steps are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64

contracted = partial(compiled, contracted=True)


@contracted
def forward(x: np.ndarray, weight: np.ndarray, dilation: np.ndarray, y: np.ndarray) -> None:
    batch, steps, width = y.shape
    taps, apart = weight.shape[0], int(dilation[0]) * width
    for n in range(batch):
        for t in range(steps):
            source, here = (n * x.shape[1] + t) * width, (n * steps + t) * width
            for c in range(0, width, WIDTH):
                sums = product(load(x, source + c), load(weight, c))
                for tap in range(1, taps):
                    part = load(x, source + tap * apart + c)
                    sums = fused(part, load(weight, tap * width + c), sums)
                store(y, here + c, sums)


@contracted
def backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    dilation: np.ndarray,
    dx: np.ndarray,
    dweight: np.ndarray,
) -> None:
    """``dweight`` is zero at first."""
    batch, steps, width = dy.shape
    taps, spacing = weight.shape[0], int(dilation[0])
    zero, one = splat(x.dtype.type(0)), splat(x.dtype.type(1))
    block = np.zeros(taps * width, x.dtype)
    for n in range(batch):
        for t in range(x.shape[1]):
            source = (n * x.shape[1] + t) * width
            for c in range(0, width, WIDTH):
                sums, part = zero, load(x, source + c)
                for tap in range(taps):
                    after = t - tap * spacing
                    if 0 <= after < steps:
                        slope = load(dy, (n * steps + after) * width + c)
                        at = tap * width + c
                        sums = fused(slope, load(weight, at), sums)
                        store(block, at, fused(slope, part, load(block, at)))
                store(dx, source + c, sums)
            if t % BLOCK == BLOCK - 1 or t == x.shape[1] - 1:
                for at in range(0, taps * width, WIDTH):
                    store(dweight, at, fused(one, load(block, at), load(dweight, at)))
                    store(block, at, zero)
