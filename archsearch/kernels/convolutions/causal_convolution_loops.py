"""The loops of a convolution over all channels, whose sums stay in the registers.

Channels are multiples of ``WIDTH``, and there are ``WIDTH`` steps or more. How far apart the taps
are follows from how many steps more go in than come out.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, load, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import accumulate, larger

BLOCK = 64  # steps that stay near while all outputs, or all slopes, of them are summed

contracted = partial(compiled, contracted=True)


@contracted
def convolve(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, least: np.ndarray, y: np.ndarray
) -> None:
    """``x`` (B, T + reach, I), ``weight`` (O / WIDTH, taps, I, WIDTH), ``y`` (B, T, O).

    Outputs below ``least`` (1,) are raised to it.
    """
    batch, steps, outputs = y.shape
    inputs, taps = x.shape[2], weight.shape[1]
    apart = (x.shape[1] - steps) // max(taps - 1, 1)
    given, taught, found, first = x.ravel(), weight.ravel(), y.ravel(), bias.ravel()
    floor, cut = splat(least[0]), least[0] > -np.inf
    for row in range(batch):
        source, target = row * x.shape[1], row * steps
        for begin in range(0, steps, BLOCK):
            for c in range(0, outputs, WIDTH):
                start = load(first, c)
                for t in range(begin, min(begin + BLOCK, steps), WIDTH):
                    # the last steps are done again where they fill no whole block
                    step = min(t, steps - WIDTH)
                    to = (target + step) * outputs + c
                    for i in range(WIDTH):
                        store(found, to + i * outputs, start)
                    for tap in range(taps):
                        accumulate(
                            given,
                            (source + step + tap * apart) * inputs,
                            inputs,
                            1,
                            taught,
                            (c * taps + tap * WIDTH) * inputs,
                            WIDTH,
                            found,
                            to,
                            outputs,
                            inputs,
                        )
                    if cut:
                        for at in range(to, to + WIDTH * outputs, outputs):
                            # where none is larger, a missing number stays
                            store(found, at, larger(floor, load(found, at)))


@contracted
def correlate(x: np.ndarray, dy: np.ndarray, dweight: np.ndarray) -> None:
    """Add the slopes of the weights to ``dweight`` (taps, I, O); ``dy`` is (B, T + 2 reach, O)."""
    batch, padded, outputs = dy.shape
    taps, inputs, _ = dweight.shape
    reach = padded - x.shape[1]
    steps, apart = x.shape[1] - reach, reach // max(taps - 1, 1)
    given, slopes, found = x.ravel(), dy.ravel(), dweight.ravel()
    for row in range(batch):
        for begin in range(0, steps, BLOCK):
            depth = min(BLOCK, steps - begin)
            for tap in range(taps):
                at = (row * x.shape[1] + begin + tap * apart) * inputs
                there = (row * padded + reach + begin) * outputs
                for a in range(0, inputs, WIDTH):
                    for c in range(0, outputs, WIDTH):
                        accumulate(
                            given,
                            at + a,
                            1,
                            inputs,
                            slopes,
                            there + c,
                            outputs,
                            found,
                            (tap * inputs + a) * outputs + c,
                            outputs,
                            depth,
                        )
