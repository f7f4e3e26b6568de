"""The loop of the way back through a whole Mamba-2 cell.

Arrays as in :mod:`archsearch.kernels.memories.duality.duality_mixer_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, load, product, store
from archsearch.kernels.memories.chunk_convolution import convolve, convolve_back
from archsearch.kernels.memories.duality.duality_chunks import SQUARE
from archsearch.kernels.memories.duality.duality_gates import GATES, open_gates, put_slopes
from archsearch.kernels.memories.duality.duality_traces import SQUARES, trace
from archsearch.kernels.memories.stabilised.stabilised_chunks import units
from archsearch.kernels.memories.stabilised.stabilised_rows import blank, foresee, gather
from archsearch.kernels.memories.stabilised.stabilised_tiles import join, multiply
from archsearch.kernels.norms.gated_skip_loops import join_sums, open_row_back

TOGETHER = 4

contracted = partial(compiled, contracted=True)


@contracted
def backward(
    dy: np.ndarray,
    dlast: np.ndarray,
    x: np.ndarray,
    both: np.ndarray,
    answers: np.ndarray,
    states: np.ndarray,
    inward: np.ndarray,
    taps: np.ndarray,
    bias: np.ndarray,
    rate: np.ndarray,
    skip: np.ndarray,
    weight: np.ndarray,
    outward: np.ndarray,
    epsilon: np.ndarray,
    dx: np.ndarray,
    dstates: np.ndarray,
    drecent: np.ndarray,
    dinward: np.ndarray,
    dtaps: np.ndarray,
    dbias: np.ndarray,
    drate: np.ndarray,
    dskip: np.ndarray,
    dweight: np.ndarray,
    doutward: np.ndarray,
) -> None:
    """Weights are as they are read backwards: ``inward`` (A, W), ``outward`` (W, E).

    ``dlast`` (B, taps - 1, E + 2 N) is that of the inputs which the convolution will see after the
    end. ``dstates`` (B, N, E) is that of the memory left, then of the first. Slopes of weights are
    zero at first.
    """
    batch, steps, width = x.shape
    heads, inner, keys, apart = bias.size, skip.size, states.shape[2], both.shape[2]
    past, wide, chunks = drecent.shape[1], inner + 2 * keys, states.shape[1] - 1
    size, whole = inner // heads, keys * inner
    filled = heads + -heads % WIDTH
    # rows that a power of two parts would meet in the same few lines of the cache
    under = apart if apart % (2 * WIDTH) else apart + WIDTH
    one = x.dtype.type(1)
    rows, douts = blank(TOGETHER * WIDTH * width, x), blank(TOGETHER * WIDTH * width, x)
    dboth, gated = blank(TOGETHER * WIDTH * under, x), blank(TOGETHER * WIDTH * inner, x)
    act, turns, dact = blank(WIDTH * wide, x), blank(WIDTH * wide, x), blank(WIDTH * wide, x)
    slopes, end = blank((WIDTH + past) * wide, x), blank(WIDTH * width, x)
    dgated, dtold, du = blank(WIDTH * inner, x), blank(WIDTH * inner, x), blank(WIDTH * inner, x)
    logits, gates = blank(WIDTH * filled, x), blank(GATES * heads, x)
    work, own = blank(SQUARES * SQUARE, x), blank(SQUARE, x)
    turned, sums = blank(WIDTH * (2 * inner + keys), x), blank(5 * inner, x)
    units(own)
    given, slope, made, told = x.ravel(), dy.ravel(), both.ravel(), answers.ravel()
    held, dheld, tap, dgiven = states.ravel(), dstates.ravel(), taps.ravel(), dx.ravel()
    taught, led = inward.ravel(), outward.ravel()
    dtaught, dtap, dled = dinward.ravel(), dtaps.ravel(), doutward.ravel()
    for n in range(batch):
        slopes[:] = 0
        top = n * both.shape[1] * apart
        for chunk in range(chunks - 1, -1, -1):
            begin, save, slot = chunk * WIDTH, n * chunks + chunk, chunk % TOGETHER
            count = min(WIDTH, steps - begin)
            at, place = top + begin * apart, (n * steps + begin) * width
            here, answered = at + past * apart, save * WIDTH * inner
            before = (save + n) * whole
            row, drow, gated_at = slot * WIDTH * width, slot * WIDTH * under, slot * WIDTH * inner
            foresee(made, at - WIDTH * apart, WIDTH * apart)
            foresee(told, answered - WIDTH * inner, WIDTH * inner)
            foresee(held, before - whole, whole)
            for rows_of in (given, slope, dgiven):
                foresee(rows_of, place - WIDTH * width, WIDTH * width)
            gather(given, place, width, width, count, rows[row:], width)
            gather(slope, place, width, width, count, douts[row:], width)
            multiply(douts, row, width, 1, led, 0, inner, dgated, 0, inner, WIDTH, inner, width)
            convolve(made, at + inner, apart, tap, past + 1, wide, 0, 1.0, act, turns)
            open_gates(made, here + inner + wide, apart, count, bias, rate, logits, gates)
            for i in range(WIDTH):
                open_row_back(
                    *(dgated, i * inner, told, answered + i * inner, act, i * wide, skip),
                    *(made, here + i * apart, weight, dtold, i * inner, dact, i * wide),
                    *(dboth, drow + i * under, sums, gated, gated_at + i * inner, epsilon[0]),
                )
            join_sums(sums, 0, dskip)
            join_sums(sums, inner, dweight)
            trace(
                *(dtold, told, answered, act, heads, size, keys, count, gates, logits, rate),
                *(own, work, turned, du, held, before, before + whole),
                *(dheld, n * whole, dact, dbias, drate),
            )
            put_slopes(logits, filled, dboth, drow + inner + wide, under)
            for i in range(0, WIDTH * wide, WIDTH):
                store(slopes, i, product(load(dact, i), load(turns, i)))
            convolve_back(
                *(made, at + inner, apart, tap, past + 1, wide, slopes),
                *(dboth, drow + inner, under, False, dtap),
            )
            for i in range(past):
                t = steps - past + i - begin
                if 0 <= t < WIDTH:
                    for c in range(wide):
                        dboth[drow + t * under + inner + c] += dlast[n, i, c]
            for i in range(0, past * wide, WIDTH):
                store(slopes, WIDTH * wide + i, load(slopes, i))
            multiply(dboth, drow, under, 1, taught, 0, width, end, 0, width, WIDTH, width, apart)
            for i in range(0, count * width, WIDTH):
                store(dgiven, place + i, load(end, i))
            if slot == 0:
                depth = (min(chunk + TOGETHER, chunks) - chunk) * WIDTH
                join(
                    *(one, dboth, 0, 1, under, rows, 0, width),
                    *(dtaught, 0, width, apart, width, depth),
                )
                join(
                    *(one, douts, 0, 1, width, gated, 0, inner),
                    *(dled, 0, inner, width, inner, depth),
                )
        for i in range(past):
            for c in range(wide):
                taken = dlast[n, i - steps, c] if i >= steps else x.dtype.type(0)
                for j in range(i + 1):
                    taken += slopes[WIDTH * wide + (i - j) * wide + c] * taps[j, c]
                drecent[n, i, c] = taken
