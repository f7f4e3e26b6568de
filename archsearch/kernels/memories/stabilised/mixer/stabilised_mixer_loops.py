"""The loop of a whole cell with a stabilised memory: all of a chunk while it is near.

Arrays: ``x``, ``y`` (B, T, W). ``inward`` (W, 2 E) makes of x what is convolved and the norm's
gate, ``taps`` (taps, E); ``weights`` (4, 3, E) are the diagonals of queries, keys and values,
``mix`` (2, E, G) what the gates make of what was convolved and what was not, ``bias`` (G,), G
filled up to a multiple of ``WIDTH``; ``outward`` (E, W). ``both`` (B, taps - 1 + C chunks, 2 E)
keeps what x was made to, behind the inputs of the convolution from before; ``answers``
(B, C chunks, E) what the memory answers, ``logits`` (B, chunks, G, C) the gates before they
open. ``gates``, ``scores`` and ``before`` (B, chunks, H, ..) are as in
:mod:`archsearch.kernels.memories.stabilised.stabilised_loops`. ``sizes`` has H and S.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.memories.chunk_convolution import convolve
from archsearch.kernels.memories.stabilised.mixer.stabilised_gates import open_gates
from archsearch.kernels.memories.stabilised.stabilised_answer_loops import close
from archsearch.kernels.memories.stabilised.stabilised_chunks import SQUARE, answer, units
from archsearch.kernels.memories.stabilised.stabilised_inputs_loops import ask
from archsearch.kernels.memories.stabilised.stabilised_rows import (
    blank,
    foresee,
    gather,
    sound,
    spoil,
    turn,
)
from archsearch.kernels.memories.stabilised.stabilised_tiles import join, multiply

contracted = partial(compiled, contracted=True)


@inlined
def fill(held: np.ndarray, at: int, size: int, states: np.ndarray, to: int) -> None:
    """Put a memory (S, S + 1) where its sum of keys lies behind it."""
    area = size * size
    for i in range(size):
        for j in range(size):
            states[to + i * size + j] = held[at + i * (size + 1) + j]
        states[to + area + i] = held[at + i * (size + 1) + size]


@inlined
def empty(states: np.ndarray, at: int, size: int, held: np.ndarray, to: int) -> None:
    """Put it back."""
    area = size * size
    for i in range(size):
        for j in range(size):
            held[to + i * (size + 1) + j] = states[at + i * size + j]
        held[to + i * (size + 1) + size] = states[at + area + i]


@contracted
def forward(
    x: np.ndarray,
    recent: np.ndarray,
    held: np.ndarray,
    most: np.ndarray,
    inward: np.ndarray,
    taps: np.ndarray,
    weights: np.ndarray,
    mix: np.ndarray,
    bias: np.ndarray,
    scale: np.ndarray,
    skip: np.ndarray,
    outward: np.ndarray,
    y: np.ndarray,
    both: np.ndarray,
    answers: np.ndarray,
    logits: np.ndarray,
    gates: np.ndarray,
    scores: np.ndarray,
    before: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """``held`` (B, H, S, S + 1) and ``most`` (B, H), m, are those before, then those left."""
    batch, steps, width = x.shape
    heads, size = sizes
    inner, past, wide, chunks = heads * size, recent.shape[1], bias.size, logits.shape[1]
    apart, whole = 2 * inner, size * (size + 1)
    one = x.dtype.type(1)
    row, end = blank(WIDTH * (width + 1), x), blank(WIDTH * width, x)
    act, gated, opened = blank(WIDTH * inner, x), blank(WIDTH * inner, x), blank(WIDTH * wide, x)
    q, k, v = blank(WIDTH * inner, x), blank(WIDTH * inner, x), blank(WIDTH * inner, x)
    turned = blank(WIDTH * max(size, wide), x)
    paths, own = blank(2 * SQUARE, x), blank(SQUARE, x)
    states, nothing = blank(heads * whole, x), blank(0, x)
    means, room = blank(2 * WIDTH, x), blank(2 * SQUARE, x)
    units(own)
    given, found, made, told = x.ravel(), y.ravel(), both.ravel(), answers.ravel()
    logit, gate, score, kept = logits.ravel(), gates.ravel(), scores.ravel(), before.ravel()
    left, old = held.ravel(), recent.ravel()
    taught, tap, led, mixed = inward.ravel(), taps.ravel(), outward.ravel(), mix.ravel()
    weight, scales = weights.ravel(), scale.ravel()
    for n in range(batch):
        for h in range(heads):
            fill(left, (n * heads + h) * size * (size + 1), size, states, h * whole)
        top = n * both.shape[1] * apart
        for t in range(past):
            for c in range(0, inner, WIDTH):
                store(made, top + t * apart + c, load(old, (n * past + t) * inner + c))
        for chunk in range(chunks):
            begin, save = chunk * WIDTH, n * chunks + chunk
            count = min(WIDTH, steps - begin)
            at, place = top + begin * apart, (n * steps + begin) * width
            here, answered, logits_at = at + past * apart, save * WIDTH * inner, save * wide * WIDTH
            # what is written is fetched first
            foresee(made, here + WIDTH * apart, WIDTH * apart)
            foresee(told, answered + WIDTH * inner, WIDTH * inner)
            foresee(kept, (save + 1) * heads * whole, heads * whole)
            foresee(score, (save + 1) * heads * SQUARE, heads * SQUARE)
            foresee(found, place + WIDTH * width, WIDTH * width)
            for i in range(0, heads * whole, WIDTH):
                store(kept, save * heads * whole + i, load(states, i))
            gather(given, place, width, width, count, row, width)
            fine = sound(row, width, count)
            if fine < count:
                row[fine * width :] = 0
            multiply(row, 0, width, 1, taught, 0, apart, made, here, apart, WIDTH, apart, width)
            convolve(made, at, apart, tap, past + 1, inner, 0, 1.0, act, nothing)
            ask(act, made, here, apart, weight, inner, WIDTH, q, k, v, 0)
            for i in range(WIDTH):
                for c in range(0, wide, WIDTH):
                    store(opened, i * wide + c, load(bias, c))
            join(one, act, 0, inner, 1, mixed, 0, wide, opened, 0, wide, WIDTH, wide, inner)
            there = inner * wide
            join(one, made, here, apart, 1, mixed, there, wide, opened, 0, wide, WIDTH, wide, inner)
            turn(opened, 0, wide, WIDTH, wide, turned)
            for i in range(0, wide * WIDTH, WIDTH):
                store(logit, logits_at + i, load(turned, i))
            for h in range(heads):
                area, saved, first = h * whole, save * heads + h, h * size
                gates_at, forget = logits_at + h * WIDTH, logits_at + (heads + h) * WIDTH
                now = open_gates(
                    logit, gates_at, forget, count, most[n, h], gate, saved * 4 * WIDTH
                )
                most[n, h] = now
                answer(
                    *(q, first, inner, k, first, inner, v, first, inner, size, size),
                    *(gate, saved * 4 * WIDTH, own, turned, paths, states, area),
                    *(score, saved * SQUARE, told, answered + first, inner),
                )
            close(
                *(told, answered, scales, act, 0, skip, made, here + inner, apart),
                *(gated, 0, count, heads, size, means, room),
            )
            multiply(gated, 0, inner, 1, led, 0, width, end, 0, width, WIDTH, width, inner)
            if fine < count:
                spoil(end, fine * width, count * width)
                spoil(states, 0, heads * whole)
            for i in range(0, count * width, WIDTH):
                store(found, place + i, load(end, i))
        for h in range(heads):
            empty(states, h * whole, size, left, (n * heads + h) * size * (size + 1))
