"""The loop back through a stabilised memory; see ``stabilised_loops`` for what it goes back on."""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.stabilised.stabilised_chunks import SQUARE
from archsearch.kernels.memories.stabilised.stabilised_rows import blank, gather, scatter
from archsearch.kernels.memories.stabilised.stabilised_traces import SQUARES, patterns, trace

contracted = partial(compiled, contracted=True)


@contracted
def backward(
    dout: np.ndarray,
    out: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    gates: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    dheld: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    dlogs: np.ndarray,
    places: np.ndarray,
) -> None:
    """``dheld`` is the slope of the memory left, then of the first.

    ``dq``, ``dk`` (B, T, H, K) and ``dv`` (B, T, H, V) are contiguous; ``dlogs`` (2, B, T, H) are
    the slopes of the logarithms of the shares kept and added.
    """
    batch, steps, heads, keys, values = places[:5]
    q_row, q_apart, q_head, k_row, k_apart, k_head, v_row, v_apart, v_head = places[5:]
    wide, wide_v = keys + -keys % WIDTH, values + -values % WIDTH
    area, chunks = wide * wide_v, (steps + WIDTH - 1) // WIDTH
    whole = area + wide
    dout, dq, dk, dv = dout.ravel(), dq.ravel(), dk.ravel(), dv.ravel()
    found, opened, all_scores, all_before = (
        out.ravel(),
        gates.ravel(),
        scores.ravel(),
        before.ravel(),
    )
    dstates = blank(whole, out)  # (K, V) and n
    query, key = blank(WIDTH * wide, out), blank(WIDTH * wide, out)
    dquery, dkey = blank(WIDTH * wide, out), blank(WIDTH * wide, out)
    asked, value = blank(WIDTH * wide_v, out), blank(WIDTH * wide_v, out)
    dvalue, told = blank(WIDTH * wide_v, out), blank(WIDTH * wide_v, out)
    matrix = blank(max(area, WIDTH * wide_v), out)
    work, own = blank(SQUARES * SQUARE, out), blank(2 * SQUARE, out)
    dgates = blank(2 * WIDTH, out)
    patterns(own)
    for n in range(batch):
        for h in range(heads):
            dstates[:] = 0
            for i in range(keys):
                for j in range(values):
                    dstates[i * wide_v + j] = dheld[n, h, i, j]
                dstates[area + i] = dheld[n, h, i, values]
            for chunk in range(chunks - 1, -1, -1):
                first = chunk * WIDTH
                count = min(WIDTH, steps - first)
                save = (n * heads + h) * chunks + chunk
                q_at = n * q_row + first * q_apart + h * q_head
                k_at = n * k_row + first * k_apart + h * k_head
                v_at = n * v_row + first * v_apart + h * v_head
                place = ((n * steps + first) * heads + h) * values
                key_place = ((n * steps + first) * heads + h) * keys
                gather(q, q_at, q_apart, keys, count, query, wide)
                gather(k, k_at, k_apart, keys, count, key, wide)
                gather(v, v_at, v_apart, values, count, value, wide_v)
                gather(dout, place, heads * values, values, count, asked, wide_v)
                gather(found, place, heads * values, values, count, told, wide_v)
                trace(
                    *(asked, 0, wide_v, told, 0, wide_v, query, 0, wide, key, 0, wide),
                    *(value, 0, wide_v, wide, wide_v, opened, save * 4 * WIDTH, own, work, matrix),
                    *(all_before, save * whole, all_scores, save * SQUARE, dstates, 0),
                    *(dquery, 0, wide, dkey, 0, wide, dvalue, 0, wide_v, dgates, 0),
                )
                for i in range(count):
                    dlogs[0, n, first + i, h] = dgates[i]
                    dlogs[1, n, first + i, h] = dgates[WIDTH + i]
                scatter(dvalue, wide_v, count, dv, place, heads * values, values)
                scatter(dquery, wide, count, dq, key_place, heads * keys, keys)
                scatter(dkey, wide, count, dk, key_place, heads * keys, keys)
            for i in range(keys):
                for j in range(values):
                    dheld[n, h, i, j] = dstates[i * wide_v + j]
                dheld[n, h, i, values] = dstates[area + i]
