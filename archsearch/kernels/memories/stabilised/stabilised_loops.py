"""The loop forward through a stabilised memory, in chunks of ``WIDTH`` positions.

Within a chunk, S_t q_t = sum_j P_tj v_j + r_t S' q_t, where S' is the memory before the chunk,
P_tj = D_tj (q_t . k_j), and D and r are products of the shares kept and added:
D_t = kept_t D_{t-1} with added_t in place t, r_t = kept_t r_{t-1}. Each is between nothing and one
factor at most above it, so no exponential of a difference is taken, and none can overflow.

Arrays: ``q``, ``k`` and ``v`` are memories of (B, T, H, K) and (B, T, H, V), read where they lie;
``places`` has B, T, H, K, V, then for each of the three how far its rows, its positions and its
heads lie apart. ``shares`` (3, B, T, H) are the shares kept and added and the least divisor;
``sums`` (B, T, H) is q . n; ``held`` (B, H, K, V + 1) the memory beside its sum of keys n. What
the way back needs of each chunk is in ``scores`` (B, H, chunks, C, C), which is P, and in
``before`` (B, H, chunks, K V + K), both sizes filled up to multiples of ``WIDTH``.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.stabilised.stabilised_rows import blank, gather, totals, turn
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply

contracted = partial(compiled, contracted=True)


@contracted
def logarithms(
    gate: np.ndarray, log_forget: np.ndarray, size: np.ndarray, least: np.ndarray, logs: np.ndarray
) -> None:
    """m_t = max(log f_t + m_{t-1}, i_t), and what the shares are the exponentials of.

    ``gate`` and ``log_forget`` are (B, T, H), ``size`` (B, H) is m before and then after them,
    ``least`` the least log f, the least of the last of ``logs`` (3, B, T, H), and its greatest.
    """
    batch, steps, heads = gate.shape
    for n in range(batch):
        for t in range(steps):
            for h in range(heads):
                before, wanted = size[n, h], log_forget[n, t, h]
                forgotten = least[0] if wanted < least[0] else wanted
                kept, added = forgotten + before, gate[n, t, h]
                now = added if added > kept or added != added else kept
                logs[0, n, t, h] = kept - now
                logs[1, n, t, h] = added - now
                logs[2, n, t, h] = min(max(-now, least[1]), least[2])
                size[n, h] = now


@contracted
def forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    shares: np.ndarray,
    held: np.ndarray,
    out: np.ndarray,
    sums: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    places: np.ndarray,
) -> None:
    """``held`` is the memory before, then the one that is left; ``out`` is (B, T, H, V)."""
    batch, steps, heads, keys, values = places[:5]
    q_row, q_apart, q_head, k_row, k_apart, k_head, v_row, v_apart, v_head = places[5:]
    wide, wide_v = keys + -keys % WIDTH, values + -values % WIDTH
    area, chunks = wide * wide_v, (steps + WIDTH - 1) // WIDTH
    whole = area + wide
    kind = out.dtype.type
    zero, one = splat(kind(0)), splat(kind(1))
    states = blank(whole, out)  # (K, V) and n
    query, key = blank(WIDTH * wide, out), blank(WIDTH * wide, out)
    value, found = blank(WIDTH * wide_v, out), blank(WIDTH * wide_v, out)
    turned = blank(WIDTH * max(wide, WIDTH), out)
    paths, parts = blank(WIDTH * WIDTH, out), blank(WIDTH * WIDTH, out)
    left, divisors = blank(WIDTH, out), blank(WIDTH, out)
    own = blank(WIDTH * WIDTH, out)
    for i in range(WIDTH):
        own[i * WIDTH + i] = 1
    for n in range(batch):
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    states[i * wide_v + j] = held[n, h, i, j]
                states[area + i] = held[n, h, i, values]
            for chunk in range(chunks):
                first = chunk * WIDTH
                count = min(WIDTH, steps - first)
                save = (n * heads + h) * chunks + chunk
                for i in range(0, whole, WIDTH):
                    store(before, save * whole + i, load(states, i))
                q_at = n * q_row + first * q_apart + h * q_head
                k_at = n * k_row + first * k_apart + h * k_head
                v_at = n * v_row + first * v_apart + h * v_head
                place = ((n * steps + first) * heads + h) * values
                gather(q, q_at, q_apart, keys, count, query, wide)
                gather(k, k_at, k_apart, keys, count, key, wide)
                gather(v, v_at, v_apart, values, count, value, wide_v)
                turn(key, WIDTH, wide, turned)
                multiply(query, 0, wide, 1, turned, 0, WIDTH, paths, 0, WIDTH, WIDTH, WIDTH, wide)
                fade, reach = zero, kind(1)
                for i in range(count):
                    kept = shares[0, n, first + i, h]
                    share = splat(shares[1, n, first + i, h])
                    fade = fused(splat(kept), fade, product(share, load(own, i * WIDTH)))
                    weighed = product(load(paths, i * WIDTH), fade)
                    store(scores, (save * WIDTH + i) * WIDTH, weighed)
                    reach *= kept
                    part, far = weighed, splat(reach)
                    for c in range(0, wide, WIDTH):
                        seen = product(far, load(query, i * wide + c))
                        store(query, i * wide + c, seen)
                        part = fused(seen, load(states, area + c), part)
                    store(parts, i * WIDTH, part)
                for i in range(count, WIDTH):
                    store(scores, (save * WIDTH + i) * WIDTH, zero)
                store(left, 0, fade)
                totals(parts, turned, divisors)
                for i in range(0, WIDTH, TALL):
                    row, at = (save * WIDTH + i) * WIDTH, i * wide_v
                    multiply(
                        scores,
                        row,
                        WIDTH,
                        1,
                        value,
                        0,
                        wide_v,
                        found,
                        at,
                        wide_v,
                        TALL,
                        wide_v,
                        i + TALL,
                    )
                join(
                    kind(1),
                    query,
                    0,
                    wide,
                    1,
                    states,
                    0,
                    wide_v,
                    found,
                    0,
                    wide_v,
                    WIDTH,
                    wide_v,
                    wide,
                )
                for i in range(count):
                    sums[n, first + i, h] = divisors[i]
                    size, least = abs(divisors[i]), shares[2, n, first + i, h]
                    inverse = kind(1) / (least if size < least else size)
                    if values == wide_v:
                        for c in range(0, wide_v, WIDTH):
                            answer = product(splat(inverse), load(found, i * wide_v + c))
                            store(out, place + i * heads * values + c, answer)
                    else:
                        for c in range(values):
                            out[n, first + i, h, c] = inverse * found[i * wide_v + c]
                for i in range(count):
                    for c in range(0, wide, WIDTH):
                        kept_key = product(repeated(left, i), load(key, i * wide + c))
                        store(key, i * wide + c, kept_key)
                join(
                    reach,
                    key,
                    0,
                    1,
                    wide,
                    value,
                    0,
                    wide_v,
                    states,
                    0,
                    wide_v,
                    wide,
                    wide_v,
                    WIDTH,
                )
                for c in range(0, wide, WIDTH):
                    sums_ = product(splat(reach), load(states, area + c))
                    for i in range(count):
                        sums_ = fused(one, load(key, i * wide + c), sums_)
                    store(states, area + c, sums_)
            for i in range(keys):
                for j in range(values):
                    held[n, h, i, j] = states[i * wide_v + j]
                held[n, h, i, values] = states[area + i]
