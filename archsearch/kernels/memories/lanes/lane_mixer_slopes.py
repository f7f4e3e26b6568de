"""The loop of the way back through a whole cell with memories in lanes.

Arrays as in :mod:`archsearch.kernels.memories.lanes.lane_mixer_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store
from archsearch.kernels.memories.chunk_convolution import convolve, convolve_back
from archsearch.kernels.memories.lanes.lane_blocks import accumulate
from archsearch.kernels.memories.lanes.lane_gates import read_gates, write_gates
from archsearch.kernels.memories.lanes.lane_heads import begin_paths, trace
from archsearch.kernels.memories.lanes.lane_mixer_loops import stripes
from archsearch.kernels.memories.lanes.lane_norm import norm_back
from archsearch.kernels.memories.lanes.lane_paths import CHUNK, REACH
from archsearch.kernels.memories.lanes.lane_tiles import empty, fill, foresee, give, take

GROUP = 4  # chunks whose slopes of weights are summed at once

contracted = partial(compiled, contracted=True)


@inlined
def gather(
    slopes: np.ndarray, outputs: int, rows: np.ndarray, inputs: int, depth: int, dweight: np.ndarray
) -> None:
    """Add the sums over ``depth`` positions of slopes times rows (outputs, inputs)."""
    for a in range(0, outputs, WIDTH):
        for c in range(0, inputs, WIDTH):
            to = a * inputs + c
            accumulate(slopes, a, 1, outputs, rows, c, inputs, dweight, to, inputs, depth)


@contracted
def backward(
    dy: np.ndarray,
    dlast: np.ndarray,
    x: np.ndarray,
    seen: np.ndarray,
    kept: np.ndarray,
    inward: np.ndarray,
    conv: np.ndarray,
    scale: np.ndarray,
    outward: np.ndarray,
    dx: np.ndarray,
    drecent: np.ndarray,
    dmemory: np.ndarray,
    dinward: np.ndarray,
    dbias: np.ndarray,
    dconv: np.ndarray,
    dscale: np.ndarray,
    doutward: np.ndarray,
    numbers: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """Weights come as they are read backwards: ``inward`` (W / WIDTH, N, WIDTH) and ``outward``
    in stripes of inputs.

    ``dlast`` (B, taps - 1, 3 W) is that of the inputs which the convolution will see after the
    end. ``dmemory`` is that of the memory left, then of the first. Slopes of weights (N, W),
    (N - 4 W,), (taps, 3 W), (D,), (W, W) are zero at first.
    """
    batch, steps, width = x.shape
    heads, size, lanes, parts = sizes
    kind, chunks, area, past = x.dtype, kept.shape[1] - 1, size * size, drecent.shape[1]
    apart, taps, wide = seen.shape[2], past + 1, 3 * width
    made_of = apart - width
    gates_wide = made_of - 4 * width
    shape = np.array([size, wide, width, lanes, parts - 3 * lanes - 1])
    squares = np.zeros((max(3, lanes * (lanes + 1)), CHUNK * CHUNK), kind)
    units, ends = np.zeros(CHUNK * CHUNK, kind), np.zeros((2, CHUNK * CHUNK), kind)
    turned, tile = np.zeros((6, CHUNK * size), kind), np.zeros(CHUNK * lanes * size, kind)
    gates, table, dtable = (
        np.zeros(gates_wide * CHUNK, kind),
        np.zeros(gates_wide * CHUNK, kind),
        np.zeros(gates_wide * CHUNK, kind),
    )
    moves = np.zeros((2, lanes * lanes * CHUNK), kind)
    held, dheld = np.zeros((CHUNK + 1) * lanes * REACH, kind), np.zeros(2 * lanes * REACH, kind)
    paths, dpaths = np.zeros(CHUNK * REACH, kind), np.zeros(CHUNK * REACH, kind)
    dmade = np.zeros(2 * heads * lanes * area, kind)
    act, turns, dact = (
        np.zeros(CHUNK * wide, kind),
        np.zeros(CHUNK * wide, kind),
        np.zeros(CHUNK * wide, kind),
    )
    slopes = np.zeros((CHUNK + past) * wide, kind)
    rows, douts, normed = (
        np.zeros(GROUP * CHUNK * width, kind),
        np.zeros(GROUP * CHUNK * width, kind),
        np.zeros(GROUP * CHUNK * width, kind),
    )
    dnormed, dfound, end = (
        np.zeros(CHUNK * width, kind),
        np.zeros(CHUNK * width, kind),
        np.zeros(CHUNK * width, kind),
    )
    dmade_of = np.zeros(GROUP * CHUNK * made_of, kind)
    sums = np.zeros(CHUNK * CHUNK + 2 * WIDTH, kind)
    one = splat(kind.type(1))
    begin_paths(lanes, units, held)
    given, found, dgiven, dgot = x.ravel(), seen.ravel(), dx.ravel(), dy.ravel()
    made, dleft, taught, led = kept.ravel(), dmemory.ravel(), inward.ravel(), outward.ravel()
    taken, dtaken, dtaught, dled = conv.ravel(), dconv.ravel(), dinward.ravel(), doutward.ravel()
    span = heads * lanes * area
    for n in range(batch):
        now, then = 0, span
        for h in range(heads):
            fill(dleft, (n * heads + h) * lanes * area, lanes, size, dmade, h * lanes * area, size)
        slopes[:] = 0
        top = n * seen.shape[1] * apart
        for chunk in range(chunks - 1, -1, -1):
            begin, slot = chunk * CHUNK, chunk % GROUP
            count = min(CHUNK, steps - begin)
            at = top + begin * apart
            here, place = at + past * apart, (n * steps + begin) * width
            here_slot, dslot = slot * CHUNK * width, slot * CHUNK * made_of
            if count < CHUNK:
                dmade_of[dslot : dslot + CHUNK * made_of] = 0
            take(given, place, width, count, width, rows, here_slot, width)
            take(dgot, place, width, count, width, douts, here_slot, width)
            stripes(douts, here_slot, width, led, 0, width, width, dnormed, 0, width)
            norm_back(
                dnormed,
                found,
                here + made_of,
                here + 3 * width,
                apart,
                scale,
                width,
                numbers[1],
                sums,
                normed,
                here_slot,
                dfound,
                dmade_of,
                dslot + 3 * width,
                made_of,
                dscale,
            )
            convolve(found, at, apart, taken, taps, wide, width, numbers[0], act, turns)
            read_gates(found, here + 4 * width, apart, count, gates_wide, gates, table)
            for h in range(heads):
                old = (n * (chunks + 1) + chunk) * span + h * lanes * area
                first = h * CHUNK // heads
                some, back = (h + 1) * CHUNK // heads - first, first - CHUNK
                if chunk > 0:
                    foresee(given, place + back * width, some, width, width)
                    foresee(dgot, place + back * width, some, width, width)
                gate = h * parts * CHUNK
                trace(
                    dfound,
                    h * size,
                    width,
                    act,
                    h * size,
                    shape,
                    count,
                    units,
                    turned,
                    tile,
                    squares,
                    ends,
                    table[gate:],
                    dtable[gate:],
                    moves,
                    held,
                    paths,
                    dheld,
                    dpaths,
                    made,
                    old,
                    dmade,
                    now + h * lanes * area,
                    then + h * lanes * area,
                    dact,
                    found,
                    at + back * apart,
                    some * apart if chunk > 0 else 0,
                    old - span,
                )
            write_gates(dtable, gates_wide, count, gates, dmade_of, dslot + 4 * width, made_of)
            for i in range(0, CHUNK * wide, WIDTH):
                store(slopes, i, product(load(dact, i), load(turns, i)))
            convolve_back(
                found, at, apart, taken, taps, wide, slopes, dmade_of, dslot, made_of, False, dtaken
            )
            for i in range(past):
                t = steps - past + i - begin
                if 0 <= t < CHUNK:
                    for c in range(wide):
                        dmade_of[dslot + t * made_of + c] += dlast[n, i, c]
            for i in range(0, past * wide, WIDTH):
                store(slopes, CHUNK * wide + i, load(slopes, i))
            stripes(dmade_of, dslot, made_of, taught, 0, width, made_of, end, 0, width)
            give(end, 0, width, count, width, dgiven, place, width)
            if slot == 0:
                depth = (min(chunk + GROUP, chunks) - chunk) * CHUNK
                gather(dmade_of, made_of, rows, width, depth, dtaught)
                gather(douts, width, normed, width, depth, dled)
                for i in range(depth):
                    for c in range(4 * width, made_of, WIDTH):
                        part = load(dmade_of, i * made_of + c)
                        store(dbias, c - 4 * width, fused(part, one, load(dbias, c - 4 * width)))
            now, then = then, now
        for i in range(past):
            for c in range(wide):
                slope = dlast[n, i - steps, c] if i >= steps else kind.type(0)
                for tap in range(i + 1):
                    slope += slopes[(CHUNK + i - tap) * wide + c] * conv[tap, c]
                drecent[n, i, c] = slope
        for h in range(heads):
            at = (n * heads + h) * lanes * area
            empty(dmade, now + h * lanes * area, size, lanes, size, dleft, at)
