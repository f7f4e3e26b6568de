"""The loop of a whole Mamba-2 cell: all of a chunk of positions while it is near.

Arrays: ``x``, ``y`` (B, T, W). ``inward`` (W, A) makes of x the gate, u, b, c and the step sizes of
H heads, which are filled up to a multiple of ``WIDTH``; ``taps`` (taps, E + 2 N), ``bias``,
``rate`` (H,), ``skip``, ``weight`` (E,), ``outward`` (E, W). ``both`` (B, taps - 1 + C chunks, A)
keeps what x was made to, behind the inputs of the convolution from before; ``answers``
(B, C chunks, E) what the memory answers, ``states`` (B, chunks + 1, N, E) the memories before each
chunk, of which the first is given, and the last.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.memories.chunk_convolution import convolve
from archsearch.kernels.memories.duality.duality_chunks import SQUARE, answer
from archsearch.kernels.memories.duality.duality_gates import GATES, open_gates
from archsearch.kernels.memories.stabilised.stabilised_chunks import units
from archsearch.kernels.memories.stabilised.stabilised_rows import (
    blank,
    foresee,
    gather,
    sound,
    spoil,
)
from archsearch.kernels.memories.stabilised.stabilised_tiles import multiply
from archsearch.kernels.norms.gated_skip_loops import open_row

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    x: np.ndarray,
    recent: np.ndarray,
    inward: np.ndarray,
    taps: np.ndarray,
    bias: np.ndarray,
    rate: np.ndarray,
    skip: np.ndarray,
    weight: np.ndarray,
    outward: np.ndarray,
    epsilon: np.ndarray,
    y: np.ndarray,
    both: np.ndarray,
    answers: np.ndarray,
    states: np.ndarray,
) -> None:
    batch, steps, width = x.shape
    heads, inner, keys, apart = bias.size, skip.size, states.shape[2], both.shape[2]
    past, wide, chunks = recent.shape[1], inner + 2 * keys, states.shape[1] - 1
    size, whole = inner // heads, keys * inner
    filled = heads + -heads % WIDTH
    row, end = blank(WIDTH * (width + 1), x), blank(WIDTH * width, x)
    act, gated, added = blank(WIDTH * wide, x), blank(WIDTH * inner, x), blank(WIDTH * inner, x)
    logits, gates = blank(WIDTH * filled, x), blank(GATES * heads, x)
    work, own, nothing = blank(keys * WIDTH + 2 * SQUARE, x), blank(SQUARE, x), blank(0, x)
    units(own)
    given, found, made, told = x.ravel(), y.ravel(), both.ravel(), answers.ravel()
    old, held, tap = recent.ravel(), states.ravel(), taps.ravel()
    taught, led = inward.ravel(), outward.ravel()
    for n in range(batch):
        top = n * both.shape[1] * apart
        for t in range(past):
            for c in range(0, wide, WIDTH):
                store(made, top + t * apart + inner + c, load(old, (n * past + t) * wide + c))
        for chunk in range(chunks):
            begin, save = chunk * WIDTH, n * chunks + chunk
            count = min(WIDTH, steps - begin)
            at, place = top + begin * apart, (n * steps + begin) * width
            here, answered = at + past * apart, save * WIDTH * inner
            before = (save + n) * whole
            # what is written is fetched first
            foresee(made, here + WIDTH * apart, WIDTH * apart)
            foresee(told, answered + WIDTH * inner, WIDTH * inner)
            foresee(held, before + 2 * whole, whole)
            for rows_of in (given, found):
                foresee(rows_of, place + WIDTH * width, WIDTH * width)
            gather(given, place, width, width, count, row, width)
            fine = sound(row, width, count)
            if fine < count:
                row[fine * width :] = 0
            multiply(row, 0, width, 1, taught, 0, apart, made, here, apart, WIDTH, apart, width)
            convolve(made, at + inner, apart, tap, past + 1, wide, 0, 1.0, act, nothing)
            open_gates(made, here + inner + wide, apart, count, bias, rate, logits, gates)
            answer(
                *(act, heads, size, keys, gates, own, work, added),
                *(held, before, before + whole, told, answered),
            )
            for i in range(count):
                open_row(
                    *(told, answered + i * inner, act, i * wide, skip),
                    *(made, here + i * apart, weight, gated, i * inner, epsilon[0]),
                )
            multiply(gated, 0, inner, 1, led, 0, width, end, 0, width, WIDTH, width, inner)
            if fine < count:
                spoil(end, fine * width, count * width)
                spoil(held, before + whole, before + 2 * whole)
            for i in range(0, count * width, WIDTH):
                store(found, place + i, load(end, i))
