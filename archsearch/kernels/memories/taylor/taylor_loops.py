"""The loop of a memory that sums features of keys times values, and of its answers.

S_t and z_t sum f(k_j) v_j' and f(k_j) over j <= t, and once more f(k'_j) v'_j' and f(k'_j) over
those of j <= t that are written twice; o_t = S_t' f(q_t) / max(z_t . f(q_t), least). Arrays: ``q``,
``k`` (B, T, H, N), ``v`` (B, T, H, V), ``k2`` (B, R, H, N), ``v2`` (B, R, H, V), read where they
lie, ``twice`` (B,) how many positions of each row are written twice, at most R, ``held``
(B, H, F, V) and ``sums`` (B, H, F), with N and V filled up with zeros to a multiple of eight and of
``values`` and F to what tiles of ``ROWS`` and of sixteen features need. ``scale`` has the factor of
queries and keys, one, and the least divisor; ``shares`` as in
:mod:`archsearch.kernels.memories.taylor.taylor_features`.

``places`` has B, T, H, V, F and R, then how far heads and positions lie apart, of ``q``, ``k``,
``v``, ``k2`` and ``v2``. Of ``CHUNK`` positions the features are held at once.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from archsearch.kernels.compiled import Loop, compiled
from archsearch.kernels.memories.stabilised.stabilised_rows import foresee
from archsearch.kernels.memories.taylor.taylor_features import expand, number
from archsearch.kernels.sums import held as most_sums
from archsearch.kernels.tiles import columns, fused, load, plus, product, store, summed, total

WIDTH, CHUNK = 16, 32
# of a tile that registers have room for: of features, of which eight numbers have a multiple of
# fifteen, and of values
ROWS = next(rows for rows in (15, 5, 3, 1) if rows <= most_sums(32))
VALUES = next(rows for rows in (16, 8, 4, 2, 1) if rows <= most_sums(32))

contracted = partial(compiled, contracted=True)


def room(size: int) -> int:
    """What the features of ``size`` numbers take, so that tiles of either kind fit."""
    least = number(size)
    return max(least + -least % ROWS, least + -least % WIDTH)


@cache
def forward(size: int, values: int) -> Loop:
    """The loop for queries and keys of ``size`` numbers, with ``values`` of a tile.

    ``held`` and ``sums`` are those before, then those that are left; ``divisor`` (B, T, H) is
    z_t . f(q_t).
    """
    vectors = room(size) // WIDTH

    @contracted
    def loop(
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        k2: np.ndarray,
        v2: np.ndarray,
        twice: np.ndarray,
        scale: np.ndarray,
        shares: np.ndarray,
        held: np.ndarray,
        sums: np.ndarray,
        out: np.ndarray,
        divisor: np.ndarray,
        places: np.ndarray,
    ) -> None:
        batch, steps, heads, long, wide, reach = places[:6]
        qh, q_apart, kh, k_apart, vh, v_apart, k2h, k2_apart, v2h, v2_apart = places[6:]
        least, divisors = scale[2], divisor.ravel()
        by, answers = np.zeros(CHUNK, v.dtype), np.zeros(CHUNK * values, v.dtype)
        asking, naming = np.zeros(CHUNK * wide, v.dtype), np.zeros(CHUNK * wide, v.dtype)
        again = np.zeros(CHUNK * wide, v.dtype)
        for n in range(batch):
            for h in range(heads):
                state, whole = (n * heads + h) * wide * long, (n * heads + h) * wide
                for begin in range(0, steps, CHUNK):
                    count = min(CHUNK, steps - begin)
                    more = min(max(twice[n] - begin, 0), count)
                    early = n * reach + begin
                    for s in range(count):
                        t = n * steps + begin + s
                        foresee(q, (t + CHUNK) * q_apart + h * qh, size)
                        foresee(k, (t + CHUNK) * k_apart + h * kh, size)
                        foresee(v, (t + CHUNK) * v_apart + h * vh, long)
                        expand(q, t * q_apart + h * qh, size, scale, shares, asking, s * wide)
                        expand(k, t * k_apart + h * kh, size, scale, shares, naming, s * wide)
                    for s in range(more):
                        place = (early + s) * k2_apart + h * k2h
                        expand(k2, place, size, scale, shares, again, s * wide)
                    sum_ = load(sums, whole, WIDTH, vectors, 16)
                    for s in range(count):
                        sum_ = plus(sum_, load(naming, s * wide, WIDTH, vectors, 16))
                        if s < more:
                            sum_ = plus(sum_, load(again, s * wide, WIDTH, vectors, 16))
                        query = load(asking, s * wide, WIDTH, vectors, 16)
                        divided = total(summed(product(sum_, query)))
                        divisors[(n * steps + begin + s) * heads + h] = divided
                        by[s] = scale[1] / (least if divided < least else divided)
                    store(sums, whole, WIDTH, sum_)
                    for j in range(0, long, values):
                        for f in range(0, wide - ROWS + 1, ROWS):
                            place = state + f * long + j
                            tile = load(held, place, long, ROWS, values)
                            for s in range(count):
                                t = n * steps + begin + s
                                name = columns(naming, s * wide + f, ROWS, values)
                                given = load(v, t * v_apart + h * vh + j, 0, 1, values)
                                tile = fused(name, given, tile)
                                if s < more:
                                    name = columns(again, s * wide + f, ROWS, values)
                                    given = (early + s) * v2_apart + h * v2h + j
                                    tile = fused(name, load(v2, given, 0, 1, values), tile)
                                query = columns(asking, s * wide + f, ROWS, values)
                                found = summed(product(query, tile))
                                if f > 0:
                                    found = plus(found, load(answers, s * values, 0, 1, values))
                                store(answers, s * values, 0, found)
                            store(held, place, long, tile)
                        for s in range(count):
                            answer = ((n * steps + begin + s) * heads + h) * long + j
                            found = load(answers, s * values, 0, 1, values)
                            store(out, answer, 0, product(found, columns(by, s, 1, values)))

    return loop
