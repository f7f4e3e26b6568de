"""The loop forward through a stabilised memory, in chunks of ``WIDTH`` positions.

Arrays: ``q``, ``k`` and ``v`` are memories of (B, T, H, K) and (B, T, H, V), read where they lie;
``places`` has B, T, H, K, V, then for each of the three how far its rows, its positions and its
heads lie apart. ``gates`` (B, H, chunks, 4, C) are the shares kept and added, the least divisor
and the sums q . n; ``held`` (B, H, K, V + 1) the memory beside its sum of keys n. What the way
back needs of each chunk is in ``scores`` (B, H, chunks, C, C) and in ``before`` (B, H, chunks,
K V + K), both sizes filled up to multiples of ``WIDTH``; see
:mod:`archsearch.kernels.memories.stabilised.stabilised_chunks`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.memories.stabilised.stabilised_chunks import SQUARE, answer, units
from archsearch.kernels.memories.stabilised.stabilised_rows import (
    blank,
    gather,
    scatter,
    sound,
    spoil,
)

contracted = partial(compiled, contracted=True)


@contracted
def logarithms(
    gate: np.ndarray, log_forget: np.ndarray, size: np.ndarray, least: np.ndarray, logs: np.ndarray
) -> None:
    """m_t = max(log f_t + m_{t-1}, i_t), and what the shares are the exponentials of.

    ``gate`` and ``log_forget`` are (B, T, H), ``size`` (B, H) is m before and then after them,
    ``least`` the least log f, the least of the third of ``logs`` (B, H, chunks, 4, C), and its
    greatest. Positions behind the last keep all and add nothing.
    """
    batch, steps, heads = gate.shape
    for n in range(batch):
        for h in range(heads):
            now = size[n, h]
            for t in range(steps):
                before, wanted = now, log_forget[n, t, h]
                forgotten = least[0] if wanted < least[0] else wanted
                kept, added = forgotten + before, gate[n, t, h]
                now = added if added > kept or added != added else kept
                chunk, at = t // WIDTH, t % WIDTH
                logs[n, h, chunk, 0, at] = kept - now
                logs[n, h, chunk, 1, at] = added - now
                logs[n, h, chunk, 2, at] = min(max(-now, least[1]), least[2])
            size[n, h] = now
            for t in range(steps, logs.shape[2] * WIDTH):
                logs[n, h, t // WIDTH, 0, t % WIDTH] = 0
                logs[n, h, t // WIDTH, 1, t % WIDTH] = -np.inf
                logs[n, h, t // WIDTH, 2, t % WIDTH] = 0


@contracted
def forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    gates: np.ndarray,
    held: np.ndarray,
    out: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    places: np.ndarray,
) -> None:
    """``held`` is the memory before, then the one that is left; ``out`` is (B, T, H, V).

    A missing number reaches no position before its own: from there on, all is missing.
    """
    batch, steps, heads, keys, values = places[:5]
    q_row, q_apart, q_head, k_row, k_apart, k_head, v_row, v_apart, v_head = places[5:]
    wide, wide_v = keys + -keys % WIDTH, values + -values % WIDTH
    area, chunks = wide * wide_v, (steps + WIDTH - 1) // WIDTH
    whole = area + wide
    states = blank(whole, out)
    query, key = blank(WIDTH * wide, out), blank(WIDTH * (wide + 1), out)
    value, found = blank(WIDTH * (wide_v + 1), out), blank(WIDTH * wide_v, out)
    turned = blank(WIDTH * max(wide, WIDTH), out)
    paths, own = blank(2 * SQUARE, out), blank(SQUARE, out)
    units(own)
    opened, kept, found_scores, y = gates.ravel(), before.ravel(), scores.ravel(), out.ravel()
    for n in range(batch):
        for h in range(heads):
            # what was spoilt for another head is so behind its rows and columns too
            states[:] = 0
            for i in range(keys):
                for j in range(values):
                    states[i * wide_v + j] = held[n, h, i, j]
                states[area + i] = held[n, h, i, values]
            for chunk in range(chunks):
                first = chunk * WIDTH
                count = min(WIDTH, steps - first)
                save = (n * heads + h) * chunks + chunk
                for i in range(0, whole, WIDTH):
                    store(kept, save * whole + i, load(states, i))
                q_at = n * q_row + first * q_apart + h * q_head
                k_at = n * k_row + first * k_apart + h * k_head
                v_at = n * v_row + first * v_apart + h * v_head
                place = ((n * steps + first) * heads + h) * values
                gather(q, q_at, q_apart, keys, count, query, wide)
                gather(k, k_at, k_apart, keys, count, key, wide)
                gather(v, v_at, v_apart, values, count, value, wide_v)
                fine = sound(value, wide_v, sound(key, wide, count))
                if fine < count:
                    key[fine * wide :] = 0
                    value[fine * wide_v :] = 0
                answer(
                    *(query, 0, wide, key, 0, wide, value, 0, wide_v, wide, wide_v),
                    *(opened, save * 4 * WIDTH, own, turned, paths, states, 0),
                    *(found_scores, save * SQUARE, found, 0, wide_v),
                )
                if fine < count:
                    spoil(found, fine * wide_v, count * wide_v)
                    spoil(states, 0, whole)
                scatter(found, wide_v, count, y, place, heads * values, values)
            for i in range(keys):
                for j in range(values):
                    held[n, h, i, j] = states[i * wide_v + j]
                held[n, h, i, values] = states[area + i]
