"""The loops of a matrix memory that fades and may overwrite, a tile of it at a time.

M_t = diag(a_t) S_{t-1}, S_t = M_t + k_t v_t', o_t = S_t' q_t; where it ``overwrites``,
w_t = v_t - M_t' k_t and S_t = M_t + beta_t k_t w_t'. A tile of ``keys`` rows and ``values``
columns, eight or sixteen of each, stays in registers from the first position to the last. Tiles
of other values are memories of their own, and so are those of other keys but for what they
answer, which adds up; a memory that overwrites has all its keys in one tile.

``fades`` is 0 where a_t is one, 1 where a head has one rate, 2 where each key channel has its own.

Arrays: ``q``, ``k`` (B, T, H, K), ``v`` (B, T, H, V), read where they lie, ``decay``
(B, T, H, K) or (B, T, H, 1), one in its first two dimensions if need be, ``beta`` (B, T, H),
memories (B, H, K, V), with K and V filled up with zeros to multiples of eight. ``q`` and ``k``
may have one head, which all share. With a ``beta``, ``q`` and ``out`` may have T / n positions:
then the memory is asked after every n-th.

``places`` has B, T, H, K and V, the positions of ``q``, then for ``q`` and for ``k`` how far heads
and positions lie apart, how far positions of ``v`` do, and the first key and value of the tile.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from archsearch.kernels.compiled import Loop, compiled
from archsearch.kernels.tiles import (
    columns,
    fused,
    less,
    load,
    plus,
    product,
    store,
    summed,
)

contracted = partial(compiled, contracted=True)


@cache
def forward(keys: int, values: int, fades: int, overwrites: bool) -> Loop:
    """The loop over positions; see the module for its arrays.

    ``memory`` is the one before, then the one that is left; ``written`` (B, T, H, V) is w, left
    out where nothing is overwritten.
    """

    @contracted
    def loop(
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        decay: np.ndarray,
        beta: np.ndarray,
        memory: np.ndarray,
        out: np.ndarray,
        written: np.ndarray,
        places: np.ndarray,
    ) -> None:
        batch, steps, heads, wide, long, asks = places[:6]
        qh, q_apart, kh, k_apart, v_apart, key, value = places[6:]
        an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
        each, later = steps // asks, key > 0
        for n in range(batch):
            for h in range(heads):
                origin = ((n * heads + h) * wide + key) * long + value
                state = load(memory, origin, long, keys, values)
                asked, left = n * asks, each
                for t in range(steps):
                    here = (n * steps + t) * heads + h
                    rate = ((n * an + t * at) * heads + h) * decay.shape[3]
                    if fades == 2:
                        state = product(columns(decay, rate + key, keys, values), state)
                    if fades == 1:
                        state = product(columns(decay, rate, 1, values), state)
                    name = columns(k, (n * steps + t) * k_apart + h * kh + key, keys, values)
                    given = load(v, (n * steps + t) * v_apart + h * long + value, 0, 1, values)
                    if overwrites:
                        given = less(given, summed(product(name, state)))
                        store(written, here * long + value, 0, given)
                        given = product(columns(beta, here, 1, values), given)
                    state = fused(name, given, state)
                    left -= 1
                    if left == 0:
                        query = columns(q, asked * q_apart + h * qh + key, keys, values)
                        found = summed(product(query, state))
                        answer = (asked * heads + h) * long + value
                        if later:
                            found = plus(found, load(out, answer, 0, 1, values))
                        store(out, answer, 0, found)
                        asked, left = asked + 1, each
                store(memory, origin, long, state)

    return loop
