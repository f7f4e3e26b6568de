"""The gates of a chunk of a stabilised memory, and their slopes."""

from __future__ import annotations

import math

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import sigmoid, softplus
from archsearch.kernels.lanes import (
    WIDTH,
    load,
    power_of_two,
    product,
    splat,
    store,
)
from archsearch.kernels.memories.stabilised.stabilised_attention import (
    GREATEST_FLOOR,
    SMALLEST_LOG_FORGET,
    SMALLEST_SUM,
)

LOG2_E = math.log2(math.e)
LEAST, GREATEST = float32(math.log(SMALLEST_SUM)), float32(GREATEST_FLOOR)
FORGOTTEN = float32(SMALLEST_LOG_FORGET)


@inlined
def open_gates(
    logits: np.ndarray,
    at: int,
    forget_at: int,
    count: int,
    now: float32,
    gates: np.ndarray,
    to: int,
) -> float32:
    """Write the gates of one head in a chunk, as ``stabilised_chunks`` reads them; m behind it.

    ``now`` is m before the chunk; the rows of input and forget gates, of ``WIDTH`` positions,
    begin at ``at`` and ``forget_at``.
    """
    least, last = to + 2 * WIDTH, GREATEST
    store(gates, to, softplus(product(splat(float32(-1)), load(logits, forget_at))))
    for i in range(count):
        forgotten, added = -gates[to + i], logits[at + i]
        kept = now + (FORGOTTEN if forgotten < FORGOTTEN else forgotten)
        now = added if added > kept or added != added else kept
        gates[to + i], gates[to + WIDTH + i] = kept - now, added - now
        floor = LEAST if -now < LEAST else -now
        gates[least + i] = last if floor > last else floor
    for i in range(0, 3 * WIDTH, WIDTH):
        store(gates, to + i, power_of_two(product(splat(float32(LOG2_E)), load(gates, to + i))))
    for i in range(count, WIDTH):
        gates[to + i], gates[to + WIDTH + i], gates[least + i] = 1, 0, 1
    return now


@inlined
def shut_gates(logits: np.ndarray, at: int, dlogs: np.ndarray, to: int, count: int) -> None:
    """Make the slope of the logarithm of a share kept that of the forget gate's logit."""
    slope = product(load(dlogs, to), sigmoid(product(splat(float32(-1)), load(logits, at))))
    store(dlogs, to, slope)
    for i in range(WIDTH):
        if i >= count or logits[at + i] < FORGOTTEN:
            dlogs[to + i] = 0
