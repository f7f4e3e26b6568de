"""The loops of three products with blocks of four and of the gates, ``WIDTH`` rows at a time.

``c`` is the memory of (rows, E) with E a multiple of ``WIDTH``, ``u`` one whose rows lie
``places[2]`` apart, ``places`` begins with the rows and E. ``weights`` (4, 3, E) holds in row d
what multiplies the element d places on in its block, of queries, keys and values. ``mix`` is
(2, E, G), what the gates make of c and of u, with G filled up to a multiple of ``WIDTH``;
``gates`` (rows, G).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store, turned
from archsearch.kernels.memories.stabilised.stabilised_rows import blank, gather
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply

contracted = partial(compiled, contracted=True)


@inlined
def _add(y: np.ndarray, at: int, apart: int, a: Any, b: Any, c: Any, d: Any) -> None:
    one = splat(y.dtype.type(1))
    store(y, at, fused(one, a, load(y, at)))
    store(y, at + apart, fused(one, b, load(y, at + apart)))
    store(y, at + 2 * apart, fused(one, c, load(y, at + 2 * apart)))
    store(y, at + 3 * apart, fused(one, d, load(y, at + 3 * apart)))


@inlined
def ask(
    seen: np.ndarray,
    told: np.ndarray,
    told_at: int,
    told_apart: int,
    weights: np.ndarray,
    width: int,
    count: int,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    begin: int,
) -> None:
    """Write ``count`` rows of queries and keys of ``seen`` and values of ``told``."""
    for x in range(0, width, WIDTH):
        q0, q1 = load(weights, x), load(weights, 3 * width + x)
        q2, q3 = load(weights, 6 * width + x), load(weights, 9 * width + x)
        k0, k1 = load(weights, width + x), load(weights, 4 * width + x)
        k2, k3 = load(weights, 7 * width + x), load(weights, 10 * width + x)
        v0, v1 = load(weights, 2 * width + x), load(weights, 5 * width + x)
        v2, v3 = load(weights, 8 * width + x), load(weights, 11 * width + x)
        for i in range(count):
            to, part = begin + i * width + x, load(seen, i * width + x)
            two, three, four = turned(part, 1), turned(part, 2), turned(part, 3)
            sums = fused(q0, part, product(q1, two))
            store(q, to, fused(q2, three, fused(q3, four, sums)))
            sums = fused(k0, part, product(k1, two))
            store(k, to, fused(k2, three, fused(k3, four, sums)))
            part = load(told, told_at + i * told_apart + x)
            sums = fused(v0, part, product(v1, turned(part, 1)))
            store(v, to, fused(v2, turned(part, 2), fused(v3, turned(part, 3), sums)))


@inlined
def trace_asked(
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    begin: int,
    seen: np.ndarray,
    told: np.ndarray,
    told_at: int,
    told_apart: int,
    weights: np.ndarray,
    width: int,
    count: int,
    dseen: np.ndarray,
    dtold: np.ndarray,
    dc: np.ndarray,
    du: np.ndarray,
    du_at: int,
    du_apart: int,
    dweights: np.ndarray,
) -> None:
    """Write ``dseen`` and ``dtold`` and what comes through :func:`ask` to ``dc`` and ``du``."""
    zero, one = splat(dq.dtype.type(0)), splat(dq.dtype.type(1))
    for x in range(0, width, WIDTH):
        q0, q1 = load(weights, x), load(weights, 3 * width + x)
        q2, q3 = load(weights, 6 * width + x), load(weights, 9 * width + x)
        k0, k1 = load(weights, width + x), load(weights, 4 * width + x)
        k2, k3 = load(weights, 7 * width + x), load(weights, 10 * width + x)
        dq0, dq1, dq2, dq3 = zero, zero, zero, zero
        dk0, dk1, dk2, dk3 = zero, zero, zero, zero
        for i in range(count):
            at, to = i * width + x, begin + i * width + x
            asked, named, part = load(dq, to), load(dk, to), load(seen, at)
            dq0, dk0 = fused(asked, part, dq0), fused(named, part, dk0)
            back = fused(q0, asked, fused(k0, named, load(dseen, at)))
            part = turned(load(seen, at), 1)
            dq1, dk1 = fused(asked, part, dq1), fused(named, part, dk1)
            back = fused(one, turned(fused(q1, asked, product(k1, named)), 3), back)
            part = turned(load(seen, at), 2)
            dq2, dk2 = fused(asked, part, dq2), fused(named, part, dk2)
            back = fused(one, turned(fused(q2, asked, product(k2, named)), 2), back)
            part = turned(load(seen, at), 3)
            dq3, dk3 = fused(asked, part, dq3), fused(named, part, dk3)
            back = fused(one, turned(fused(q3, asked, product(k3, named)), 1), back)
            store(dc, to, back)
        _add(dweights, x, 3 * width, dq0, dq1, dq2, dq3)
        _add(dweights, width + x, 3 * width, dk0, dk1, dk2, dk3)
        v0, v1 = load(weights, 2 * width + x), load(weights, 5 * width + x)
        v2, v3 = load(weights, 8 * width + x), load(weights, 11 * width + x)
        dv0, dv1, dv2, dv3 = zero, zero, zero, zero
        for i in range(count):
            slope = load(dv, begin + i * width + x)
            part = load(told, told_at + i * told_apart + x)
            dv0 = fused(slope, part, dv0)
            dv1 = fused(slope, turned(part, 1), dv1)
            dv2 = fused(slope, turned(part, 2), dv2)
            dv3 = fused(slope, turned(part, 3), dv3)
            back = fused(v0, slope, load(dtold, i * width + x))
            back = fused(one, turned(product(v1, slope), 3), back)
            back = fused(one, turned(product(v2, slope), 2), back)
            back = fused(one, turned(product(v3, slope), 1), back)
            store(du, du_at + i * du_apart + x, back)
        _add(dweights, 2 * width + x, 3 * width, dv0, dv1, dv2, dv3)


@contracted
def forward(
    c: np.ndarray,
    u: np.ndarray,
    weights: np.ndarray,
    mix: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    gates: np.ndarray,
    places: np.ndarray,
) -> None:
    rows, width, apart = places[:3]
    wide = gates.shape[1]
    one = q.dtype.type(1)
    seen, told = blank(WIDTH * width, q), blank(WIDTH * width, q)
    opened = blank(WIDTH * wide, q)
    for row in range(0, rows, WIDTH):
        count = min(WIDTH, rows - row)
        gather(c, row * width, width, width, count, seen, width)
        gather(u, row * apart, apart, width, count, told, width)
        ask(seen, told, 0, width, weights, width, count, q, k, v, row * width)
        multiply(seen, 0, width, 1, mix, 0, wide, opened, 0, wide, WIDTH, wide, width)
        join(one, told, 0, width, 1, mix, width * wide, wide, opened, 0, wide, WIDTH, wide, width)
        for i in range(0, count * wide, WIDTH):
            store(gates, row * wide + i, load(opened, i))


@contracted
def backward(
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    dgates: np.ndarray,
    c: np.ndarray,
    u: np.ndarray,
    weights: np.ndarray,
    mix: np.ndarray,
    dc: np.ndarray,
    du: np.ndarray,
    dweights: np.ndarray,
    dmix: np.ndarray,
    places: np.ndarray,
) -> None:
    """``mix`` is turned, (2, G, E); ``places`` ends with how many gates there are.

    ``dweights`` and ``dmix`` (2, G, E) are zero at first; slopes of rows are (rows, E).
    """
    rows, width, apart, used = places
    wide, tall = dgates.shape[1], used + -used % TALL
    dgates = dgates.ravel()
    seen, told = blank(WIDTH * width, dq), blank(WIDTH * width, dq)
    dseen, dtold = blank(WIDTH * width, dq), blank(WIDTH * width, dq)
    opened = blank(WIDTH * wide, dq)
    half = wide * width
    single = dq.dtype.type(1)
    for row in range(0, rows, WIDTH):
        count = min(WIDTH, rows - row)
        gather(c, row * width, width, width, count, seen, width)
        gather(u, row * apart, apart, width, count, told, width)
        gather(dgates, row * wide, wide, wide, count, opened, wide)
        multiply(opened, 0, wide, 1, mix, 0, width, dseen, 0, width, WIDTH, width, used)
        multiply(opened, 0, wide, 1, mix, half, width, dtold, 0, width, WIDTH, width, used)
        join(single, opened, 0, 1, wide, seen, 0, width, dmix, 0, width, tall, width, WIDTH)
        join(single, opened, 0, 1, wide, told, 0, width, dmix, half, width, tall, width, WIDTH)
        trace_asked(
            *(dq, dk, dv, row * width, seen, told, 0, width, weights, width, count),
            *(dseen, dtold, dc, du, row * width, width, dweights),
        )
