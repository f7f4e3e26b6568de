"""The loop of a whole cell with memories in lanes: all of a chunk while it is near.

Arrays: ``x``, ``y`` (B, T, W). Weights of linear maps come in stripes of ``WIDTH`` outputs:
``inward`` (N / WIDTH, W, WIDTH) makes of x queries, keys and values (3 W), the norm's gate (W) and
the gates of the lanes, up to N; ``outward`` (W / WIDTH, W, WIDTH). ``bias`` is that of the gates.
``seen`` (B, taps - 1 + C chunks, N + W) keeps what x was made to, behind the inputs of the
convolution from before, and at the end of each row what the memories answer. ``numbers`` are
D^(-1/2) and the norm's epsilon. ``sizes`` has H, D, J and the numbers of a head's gates.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.memories.chunk_convolution import convolve
from archsearch.kernels.memories.lanes.lane_blocks import accumulate, multiply
from archsearch.kernels.memories.lanes.lane_gates import read_gates
from archsearch.kernels.memories.lanes.lane_heads import answer, begin_paths
from archsearch.kernels.memories.lanes.lane_norm import norm
from archsearch.kernels.memories.lanes.lane_paths import CHUNK, REACH
from archsearch.kernels.memories.lanes.lane_tiles import empty, fill, foresee, give, take

contracted = partial(compiled, contracted=True)


@inlined
def stripes(
    a: np.ndarray,
    at: int,
    apart: int,
    weight: np.ndarray,
    begin: int,
    end: int,
    depth: int,
    y: np.ndarray,
    to: int,
    under: int,
) -> None:
    """Write a chunk of rows of ``a`` times the stripes from output ``begin`` on."""
    for c in range(begin, end, WIDTH):
        multiply(a, at, apart, 1, weight, c * depth, WIDTH, y, to + c, under, depth)


@contracted
def forward(
    x: np.ndarray,
    recent: np.ndarray,
    memory: np.ndarray,
    inward: np.ndarray,
    bias: np.ndarray,
    conv: np.ndarray,
    scale: np.ndarray,
    outward: np.ndarray,
    y: np.ndarray,
    seen: np.ndarray,
    kept: np.ndarray,
    numbers: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """``memory`` (B, H, J, D, D) is the one before, then the one that is left."""
    batch, steps, width = x.shape
    heads, size, lanes, parts = sizes
    kind, chunks, area, past = x.dtype, kept.shape[1] - 1, size * size, recent.shape[1]
    apart, taps = seen.shape[2], past + 1
    made_of = apart - width
    gates_wide = made_of - 4 * width
    shape = np.array([size, 3 * width, width, lanes, parts - 3 * lanes - 1])
    keys, tile = np.zeros(CHUNK * size, kind), np.zeros(CHUNK * lanes * size, kind)
    squares, moves = np.zeros((3, CHUNK * CHUNK), kind), np.zeros(lanes * lanes * CHUNK, kind)
    gates, table = np.zeros(gates_wide * CHUNK, kind), np.zeros(gates_wide * CHUNK, kind)
    held, paths = np.zeros((CHUNK + 1) * lanes * REACH, kind), np.zeros(CHUNK * REACH, kind)
    act, rows = np.zeros(CHUNK * 3 * width, kind), np.zeros((3, CHUNK * width), kind)
    sums = np.zeros(CHUNK * CHUNK + 2 * WIDTH, kind)
    row, normed, ends = rows[0], rows[1], rows[2]
    nothing = np.zeros(0, kind)
    begin_paths(lanes, squares[2], held)
    given, found, answers = x.ravel(), seen.ravel(), y.ravel()
    left, made, taught, led, taken = (
        memory.ravel(),
        kept.ravel(),
        inward.ravel(),
        outward.ravel(),
        conv.ravel(),
    )
    span = heads * lanes * area
    for n in range(batch):
        for h in range(heads):
            here = n * (chunks + 1) * span + h * lanes * area
            fill(left, (n * heads + h) * lanes * area, lanes, size, made, here, size)
        top = n * seen.shape[1] * apart
        for t in range(past):
            for c in range(3 * width):
                found[top + t * apart + c] = recent[n, t, c]
        for chunk in range(chunks):
            begin = chunk * CHUNK
            count = min(CHUNK, steps - begin)
            at = top + begin * apart
            here = at + past * apart
            take(given, (n * steps + begin) * width, width, count, width, row, 0, width)
            stripes(row, 0, width, taught, 0, 4 * width, width, found, here, apart)
            for c in range(4 * width, made_of, WIDTH):
                for i in range(CHUNK):
                    store(found, here + i * apart + c, load(bias, c - 4 * width))
                accumulate(
                    row, 0, width, 1, taught, c * width, WIDTH, found, here + c, apart, width
                )
            convolve(found, at, apart, taken, taps, 3 * width, width, numbers[0], act, nothing)
            read_gates(found, here + 4 * width, apart, count, gates_wide, gates, table)
            foresee(given, (n * steps + begin + CHUNK) * width, CHUNK, width, width)
            for h in range(heads):
                old = (n * (chunks + 1) + chunk) * span + h * lanes * area
                answer(
                    act,
                    h * size,
                    shape,
                    count,
                    keys,
                    tile,
                    squares,
                    table[h * parts * CHUNK :],
                    moves,
                    held,
                    paths,
                    made,
                    old,
                    old + span,
                    found,
                    here + made_of + h * size,
                    apart,
                )
            norm(
                found,
                here + made_of,
                here + 3 * width,
                apart,
                scale,
                width,
                numbers[1],
                sums,
                normed,
            )
            stripes(normed, 0, width, led, 0, width, width, ends, 0, width)
            give(ends, 0, width, count, width, answers, (n * steps + begin) * width, width)
        for h in range(heads):
            here = (n * (chunks + 1) + chunks) * span + h * lanes * area
            empty(made, here, size, lanes, size, left, (n * heads + h) * lanes * area)
