"""The loop of the way back through a whole cell with a stabilised memory.

Arrays as in :mod:`archsearch.kernels.memories.stabilised.mixer.stabilised_mixer_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store, total
from archsearch.kernels.memories.chunk_convolution import convolve, convolve_back
from archsearch.kernels.memories.stabilised.mixer.stabilised_gates import shut_gates
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer_loops import empty, fill
from archsearch.kernels.memories.stabilised.stabilised_answer_loops import close_back, join_sums
from archsearch.kernels.memories.stabilised.stabilised_chunks import SQUARE
from archsearch.kernels.memories.stabilised.stabilised_inputs_loops import ask, trace_asked
from archsearch.kernels.memories.stabilised.stabilised_rows import blank, foresee
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply
from archsearch.kernels.memories.stabilised.stabilised_traces import SQUARES, patterns, trace

TOGETHER = 4  # chunks whose slopes of weights are summed at once

contracted = partial(compiled, contracted=True)


@inlined
def take(rows: np.ndarray, at: int, count: int, width: int, tile: np.ndarray, to: int) -> None:
    """Copy ``count`` rows of a chunk, and put zeros in place of the rest."""
    nothing = splat(tile.dtype.type(0))
    for i in range(0, count * width, WIDTH):
        store(tile, to + i, load(rows, at + i))
    for i in range(count * width, WIDTH * width, WIDTH):
        store(tile, to + i, nothing)


@contracted
def backward(
    dy: np.ndarray,
    dlast: np.ndarray,
    x: np.ndarray,
    both: np.ndarray,
    answers: np.ndarray,
    logits: np.ndarray,
    gates: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    inward: np.ndarray,
    taps: np.ndarray,
    weights: np.ndarray,
    mix: np.ndarray,
    scale: np.ndarray,
    skip: np.ndarray,
    outward: np.ndarray,
    dx: np.ndarray,
    dheld: np.ndarray,
    dmost: np.ndarray,
    drecent: np.ndarray,
    dinward: np.ndarray,
    dtaps: np.ndarray,
    dweights: np.ndarray,
    dmix: np.ndarray,
    dbias: np.ndarray,
    dscale: np.ndarray,
    dskip: np.ndarray,
    doutward: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """Weights are as they are read backwards: ``inward`` (2 E, W), ``mix`` (2, G, E), ``outward``
    (W, E).

    ``dlast`` (B, taps - 1, E) is that of the inputs which the convolution will see after the
    end. ``dheld`` is that of the memory left, then of the first. Slopes of weights are zero at
    first.
    """
    batch, steps, width = x.shape
    heads, size = sizes
    inner, past, wide, chunks = heads * size, drecent.shape[1], mix.shape[1], logits.shape[1]
    apart, whole, tall = 2 * inner, size * (size + 1), 2 * heads + -2 * heads % TALL
    # rows that a power of two parts would meet in the same few lines of the cache
    under = apart + WIDTH
    one, lone = x.dtype.type(1), splat(x.dtype.type(1))
    rows, douts = blank(TOGETHER * WIDTH * width, x), blank(TOGETHER * WIDTH * width, x)
    dboth, gated = blank(TOGETHER * WIDTH * under, x), blank(TOGETHER * WIDTH * inner, x)
    tile = WIDTH * inner
    act, turns, dgated, dh, dc = (
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
    )
    q, k, v, dq, dk, dv = (
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
        blank(tile, x),
    )
    dseen, dtold, end = blank(tile, x), blank(tile, x), blank(WIDTH * width, x)
    slopes, dgates = blank(2 * tile, x), blank(wide * WIDTH, x)
    work, own = blank(SQUARES * SQUARE, x), blank(2 * SQUARE, x)
    matrix, dlogs = blank(size * size, x), blank(2 * WIDTH, x)
    dstates, skips, scales = blank(heads * whole, x), blank(inner, x), blank(inner, x)
    means, room = blank(2 * WIDTH, x), blank(3 * SQUARE, x)
    patterns(own)
    given, slope, made, told = x.ravel(), dy.ravel(), both.ravel(), answers.ravel()
    logit, gate, score, kept = logits.ravel(), gates.ravel(), scores.ravel(), before.ravel()
    taught, tap, led, mixed = inward.ravel(), taps.ravel(), outward.ravel(), mix.ravel()
    weight, scaled, dgiven, dleft = weights.ravel(), scale.ravel(), dx.ravel(), dheld.ravel()
    dtaught, dtap, dled, dmixed = dinward.ravel(), dtaps.ravel(), doutward.ravel(), dmix.ravel()
    dweight, dscaled = dweights.ravel(), dscale.ravel()
    for n in range(batch):
        for h in range(heads):
            fill(dleft, (n * heads + h) * size * (size + 1), size, dstates, h * whole)
        slopes[:] = 0
        top = n * both.shape[1] * apart
        for chunk in range(chunks - 1, -1, -1):
            begin, save, slot = chunk * WIDTH, n * chunks + chunk, chunk % TOGETHER
            count = min(WIDTH, steps - begin)
            at, place = top + begin * apart, (n * steps + begin) * width
            here, answered = at + past * apart, save * WIDTH * inner
            row, drow, gated_at = slot * WIDTH * width, slot * WIDTH * under, slot * tile
            foresee(made, at - WIDTH * apart, WIDTH * apart)
            foresee(told, answered - tile, tile)
            foresee(kept, (save - 1) * heads * whole, heads * whole)
            foresee(score, (save - 1) * heads * SQUARE, heads * SQUARE)
            for rows_of in (given, slope, dgiven):
                foresee(rows_of, place - WIDTH * width, WIDTH * width)
            take(given, place, count, width, rows, row)
            take(slope, place, count, width, douts, row)
            multiply(douts, row, width, 1, led, 0, inner, dgated, 0, inner, WIDTH, inner, width)
            convolve(made, at, apart, tap, past + 1, inner, 0, 1.0, act, turns)
            ask(act, made, here, apart, weight, inner, WIDTH, q, k, v, 0)
            close_back(
                *(dgated, 0, told, answered, scaled, act, 0, skip, made, here + inner, apart),
                *(dh, dc, 0, dboth, drow + inner, under, scales, skips, gated, gated_at),
                *(WIDTH, heads, size, means, room),
            )
            join_sums(skips, dskip)
            join_sums(scales, dscaled)
            for h in range(heads):
                first, saved = h * size, save * heads + h
                trace(
                    *(dh, first, inner, told, answered + first, inner, q, first, inner),
                    *(k, first, inner, v, first, inner, size, size, gate, saved * 4 * WIDTH),
                    *(own, work, matrix, kept, saved * whole, score, saved * SQUARE),
                    *(dstates, h * whole, dq, first, inner, dk, first, inner, dv, first, inner),
                    *(dlogs, 0),
                )
                if chunk == 0:
                    dmost[n, h] = dlogs[0]
                forget = heads + h
                shut_gates(logit, (save * wide + forget) * WIDTH, dlogs, 0, count)
                store(dgates, forget * WIDTH, load(dlogs, 0))
                store(dgates, h * WIDTH, load(dlogs, WIDTH))
                dbias[h] += total(load(dlogs, WIDTH))
                dbias[forget] += total(load(dlogs, 0))
            half = wide * inner
            multiply(dgates, 0, 1, WIDTH, mixed, 0, inner, dseen, 0, inner, WIDTH, inner, 2 * heads)
            multiply(
                dgates, 0, 1, WIDTH, mixed, half, inner, dtold, 0, inner, WIDTH, inner, 2 * heads
            )
            join(one, dgates, 0, WIDTH, 1, act, 0, inner, dmixed, 0, inner, tall, inner, WIDTH)
            join(
                one, dgates, 0, WIDTH, 1, made, here, apart, dmixed, half, inner, tall, inner, WIDTH
            )
            for i in range(0, tile, WIDTH):
                store(dseen, i, fused(lone, load(dseen, i), load(dc, i)))
            trace_asked(
                *(dq, dk, dv, 0, act, made, here, apart, weight, inner, WIDTH),
                *(dseen, dtold, dc, dboth, drow, under, dweight),
            )
            for i in range(0, tile, WIDTH):
                store(slopes, i, product(load(dc, i), load(turns, i)))
            convolve_back(
                made, at, apart, tap, past + 1, inner, slopes, dboth, drow, under, True, dtap
            )
            for i in range(past):
                t = steps - past + i - begin
                if 0 <= t < WIDTH:
                    for c in range(inner):
                        dboth[drow + t * under + c] += dlast[n, i, c]
            for i in range(0, past * inner, WIDTH):
                store(slopes, tile + i, load(slopes, i))
            multiply(dboth, drow, under, 1, taught, 0, width, end, 0, width, WIDTH, width, apart)
            for i in range(0, count * width, WIDTH):
                store(dgiven, place + i, load(end, i))
            if slot == 0:
                depth = (min(chunk + TOGETHER, chunks) - chunk) * WIDTH
                join(
                    one, dboth, 0, 1, under, rows, 0, width, dtaught, 0, width, apart, width, depth
                )
                join(one, douts, 0, 1, width, gated, 0, inner, dled, 0, inner, width, inner, depth)
        for i in range(past):
            for c in range(inner):
                sums = dlast[n, i - steps, c] if i >= steps else x.dtype.type(0)
                for j in range(i + 1):
                    sums += slopes[tile + (i - j) * inner + c] * taps[j, c]
                drecent[n, i, c] = sums
        for h in range(heads):
            empty(dstates, h * whole, size, dleft, (n * heads + h) * size * (size + 1))
