"""The loops of the sLSTM in single precision, for one head, its size a multiple of ``WIDTH``.

Arrays of all steps are (B, T, ...), ``size`` is S. ``kind`` is one number: whether F is s(f).
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import LOG2_E, hyperbolic, share, sigmoid, softplus
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, quotient, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import larger
from archsearch.kernels.projections.tile_products import add_products
from archsearch.kernels.recurrences.recurrence_loops import contracted

ROWS = 32  # that go through all steps together: fewer would read the weights more often
KEPT = 7  # numbers of each unit and step: see ``forward``
ZERO, ONE, BASE = float32(0.0), float32(1.0), float32(LOG2_E)


@inlined
def _advance(
    sums: np.ndarray, at: int, logistic: bool, h: np.ndarray, c: np.ndarray, n: np.ndarray,
    m: np.ndarray, own: int, y: np.ndarray, to: int, kept: np.ndarray, place: int, size: int,
) -> None:  # fmt: skip
    """One step of one row, whose states are at ``own``."""
    none, one, base = splat(ZERO), splat(ONE), splat(BASE)
    for j in range(0, size, WIDTH):
        i, f = load(sums, at + j), load(sums, at + size + j)
        z, o = load(sums, at + 2 * size + j), load(sums, at + 3 * size + j)
        slope, state = one, own + j
        if logistic:
            rest = lessened(f, one, none)
            slope = sigmoid(rest)
            f = lessened(softplus(rest), one, none)
        f = fused(one, f, load(m, state))
        level = larger(f, i)
        take = share(product(base, lessened(one, level, i)))
        keep = share(product(base, lessened(one, level, f)))
        z, o = hyperbolic(z), sigmoid(o)
        memory = fused(keep, load(c, state), product(take, z))
        weight = fused(keep, load(n, state), take)
        answer = quotient(product(o, memory), weight)
        store(c, state, memory)
        store(n, state, weight)
        store(m, state, level)
        store(h, state, answer)
        store(y, to + j, answer)
        store(kept, place + j, take)
        store(kept, place + size + j, keep)
        store(kept, place + 2 * size + j, z)
        store(kept, place + 3 * size + j, o)
        store(kept, place + 4 * size + j, memory)
        store(kept, place + 5 * size + j, weight)
        store(kept, place + 6 * size + j, slope)


@inlined
def _retreat(
    kept: np.ndarray, at: int, cs: np.ndarray, of_c: int, ns: np.ndarray, of_n: int,
    dy: np.ndarray, to: int, dh: np.ndarray, dc: np.ndarray, dn: np.ndarray, own: int,
    slopes: np.ndarray, place: int, size: int,
) -> None:  # fmt: skip
    """One step back of one row: c and n before it are at ``of_c`` and ``of_n``."""
    one, none = splat(ONE), splat(ZERO)
    for j in range(0, size, WIDTH):
        take, keep = load(kept, at + j), load(kept, at + size + j)
        z, o = load(kept, at + 2 * size + j), load(kept, at + 3 * size + j)
        memory, weight = load(kept, at + 4 * size + j), load(kept, at + 5 * size + j)
        state = own + j
        # of c_t / n_t
        given = quotient(fused(one, load(dy, to + j), load(dh, state)), weight)
        dmemory = fused(given, o, load(dc, state))
        ratio = quotient(memory, weight)
        dweight = lessened(product(given, o), ratio, load(dn, state))
        df = fused(dmemory, load(cs, of_c + j), product(dweight, load(ns, of_n + j)))
        df = product(product(df, keep), load(kept, at + 6 * size + j))
        store(slopes, place + j, product(fused(dmemory, z, dweight), take))
        store(slopes, place + size + j, df)
        store(slopes, place + 2 * size + j, product(product(dmemory, take), lessened(z, z, one)))
        store(slopes, place + 3 * size + j, product(product(given, memory), lessened(o, o, o)))
        store(dc, state, product(dmemory, keep))
        store(dn, state, product(dweight, keep))
        store(dh, state, none)


@contracted
def forward(
    drives: np.ndarray,
    matrix: np.ndarray,
    kind: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    n: np.ndarray,
    m: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``matrix`` is (S, 4 S); h, c, n, m are the first state and become the last. ``kept``
    (B, T, 7 S) receives what is taken and kept, tanh(z), s(o), c_t, n_t, and d log F / d f."""
    batch, steps, size = y.shape
    logistic, gates = kind[0] > 0, 4 * size
    sums = np.empty((ROWS, gates), float32)
    total, weights, outputs, known = sums.ravel(), matrix.ravel(), y.ravel(), kept.ravel()
    state, memory, weight, level = h.ravel(), c.ravel(), n.ravel(), m.ravel()
    for begin in range(0, batch, ROWS):
        rows = min(ROWS, batch - begin)
        for t in range(steps):
            for row in range(rows):
                sums[row] = drives[begin + row, t]
            add_products(
                state, begin * size, size, 1, weights, 0, gates, total, 0, gates, rows, size, gates
            )
            for row in range(rows):
                place = (begin + row) * steps + t
                _advance(
                    total, row * gates, logistic, state, memory, weight, level,
                    (begin + row) * size, outputs, place * size, known, place * KEPT * size, size,
                )  # fmt: skip


@contracted
def backward(
    dy: np.ndarray,
    c0: np.ndarray,
    n0: np.ndarray,
    recurrent: np.ndarray,
    kept: np.ndarray,
    ddrives: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    dn: np.ndarray,
) -> None:
    """``recurrent`` is (4 S, S). dh, dc and dn are those of the last state and become those of the
    first; ``ddrives`` (B, T, 4 S) is written."""
    batch, steps, size = dy.shape
    gates, apart = 4 * size, KEPT * size
    given, known, slopes, weights = dy.ravel(), kept.ravel(), ddrives.ravel(), recurrent.ravel()
    memory, weight = c0.ravel(), n0.ravel()
    dstate, dmemory, dweight = dh.ravel(), dc.ravel(), dn.ravel()
    for begin in range(0, batch, ROWS):
        rows = min(ROWS, batch - begin)
        for t in range(steps - 1, -1, -1):
            for row in range(begin, begin + rows):
                place, own = row * steps + t, row * size
                at = place * apart
                if t > 0:
                    _retreat(
                        known, at, known, at - 3 * size, known, at - 2 * size, given,
                        place * size, dstate, dmemory, dweight, own, slopes, place * gates, size,
                    )  # fmt: skip
                else:
                    _retreat(
                        known, at, memory, own, weight, own, given,
                        place * size, dstate, dmemory, dweight, own, slopes, place * gates, size,
                    )  # fmt: skip
            add_products(
                slopes, (begin * steps + t) * gates, steps * gates, 1, weights, 0, size,
                dstate, begin * size, size, rows, gates, size,
            )  # fmt: skip
