"""The step sizes of a chunk of all heads and the factors of their memories, and their slopes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import share, sigmoid, softplus
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store, total
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.memories.stabilised.stabilised_rows import turn
from archsearch.kernels.transpose import transpose

LOG2_E = math.log2(math.e)
SMALLEST = float32(math.exp(SLOWEST_LOG_DECAY))
# of a head: step sizes, factors, products of factors up to a position and of those after it
GATES = 4 * WIDTH


@inlined
def open_gates(
    made: np.ndarray,
    at: int,
    apart: int,
    count: int,
    bias: np.ndarray,
    rate: np.ndarray,
    logits: np.ndarray,
    gates: np.ndarray,
) -> None:
    """Write the gates of all heads, and what step sizes are the softplus of to ``logits``.

    A position from ``count`` on adds nothing and keeps all.
    """
    heads, one = bias.size, splat(float32(1))
    turn(made, at, apart, WIDTH, heads + -heads % WIDTH, logits)
    for h in range(heads):
        to, logit = h * GATES, fused(one, load(logits, h * WIDTH), splat(bias[h]))
        step = softplus(logit)
        store(logits, h * WIDTH, logit)
        store(gates, to, step)
        store(gates, to + WIDTH, share(product(step, splat(-rate[h] * float32(LOG2_E)))))
        for i in range(count, WIDTH):
            gates[to + i], gates[to + WIDTH + i] = 0, 1
        reach, rest = float32(1), float32(1)
        for i in range(WIDTH):
            factor = gates[to + WIDTH + i]
            factor = SMALLEST if factor < SMALLEST else factor
            gates[to + WIDTH + i] = factor
            reach *= factor
            gates[to + 2 * WIDTH + i] = reach
        for i in range(WIDTH - 1, -1, -1):
            gates[to + 3 * WIDTH + i] = rest
            rest *= gates[to + WIDTH + i]


@inlined
def shut_gates(
    gates: np.ndarray,
    logits: np.ndarray,
    h: int,
    count: int,
    rate: float32,
    whole: float32,
    asked: Any,
    given: Any,
    room: np.ndarray,
) -> tuple[float32, float32]:
    """Make ``logits`` of a head its slopes; the sums of those and of the slope of the rate.

    ``whole`` is the memory left times its slope, ``asked`` the answers times theirs, ``given``
    what was written times the slope of that times the step size.
    """
    at = h * GATES
    store(room, 0, asked)
    store(room, WIDTH, given)
    drate = float32(0)
    for i in range(WIDTH - 1, -1, -1):
        step, dstep = gates[at + i], room[WIDTH + i]
        # what is decayed up to here reaches all answers from here on, and what is left
        whole += room[i] - step * dstep
        if gates[at + WIDTH + i] > SMALLEST:
            dstep -= rate * whole
            drate -= step * whole
        room[i] = dstep if i < count else float32(0)
    slope = product(load(room, 0), sigmoid(load(logits, h * WIDTH)))
    store(logits, h * WIDTH, slope)
    return total(slope), drate


@inlined
def put_slopes(logits: np.ndarray, wide: int, y: np.ndarray, at: int, apart: int) -> None:
    """Write slopes (wide, C) turned to rows that lie ``apart``."""
    for c in range(0, wide, WIDTH):
        transpose(logits, c * WIDTH, WIDTH, y, at + c, apart)
