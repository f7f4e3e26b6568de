"""The loops of the LSTM and its variants in single precision, for one head.

Arrays of all steps are (B, T, ...), ``size`` is S. ``kind`` is three numbers: 0, 1 or 2 for a
forget gate of its own, coupled or none; whether there are peepholes; whether c is squashed. A loop
over j touches few arrays, for only then the compiler can tell that they do not overlap.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.recurrences.recurrence_loops import add_product, contracted
from archsearch.kernels.vector_math import hyperbolic, logistic

OWN, COUPLED, NONE = 0, 1, 2
ONE = float32(1.0)


@inlined
def _add_seen(gate: np.ndarray, peephole: np.ndarray, c: np.ndarray) -> None:
    for j in range(len(gate)):
        gate[j] += peephole[j] * c[j]


@inlined
def _opened(gate: np.ndarray, out: np.ndarray) -> None:
    for j in range(len(gate)):
        out[j] = logistic(gate[j])


@inlined
def _mixed(i: np.ndarray, f: np.ndarray, g: np.ndarray, c: np.ndarray) -> None:
    for j in range(len(c)):
        c[j] = f[j] * c[j] + i[j] * g[j]


@contracted
def forward(
    drives: np.ndarray,
    matrix: np.ndarray,
    peepholes: np.ndarray,
    kind: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``matrix`` is (S, G S); ``h`` and ``c`` are the first state and become the last; ``kept``
    (B, T, 6 S) receives i, f, g, o, c_t and what of c_t is read."""
    batch, steps, size = y.shape
    forget, peeps, squash = int(kind[0]), kind[1] > 0, kind[2] > 0
    gates = drives.shape[2] // size
    hidden = np.empty((batch, gates * size), float32)
    for t in range(steps):
        for row in range(batch):
            hidden[row] = drives[row, t]
        add_product(h, matrix, hidden)
        for row in range(batch):
            all_, cell, known = hidden[row], c[row], kept[row, t]
            i, f, g = known[:size], known[size : 2 * size], known[2 * size : 3 * size]
            o, memory, read = (
                known[3 * size : 4 * size],
                known[4 * size : 5 * size],
                known[5 * size :],
            )
            if forget == OWN:
                first, second = all_[:size], all_[size : 2 * size]
                if peeps:
                    _add_seen(first, peepholes[0], cell)
                    _add_seen(second, peepholes[1], cell)
                _opened(first, i)
                _opened(second, f)
            elif forget == COUPLED:
                first = all_[:size]
                if peeps:
                    _add_seen(first, peepholes[1], cell)
                _opened(first, f)
                for j in range(size):
                    i[j] = ONE - f[j]
            else:
                first = all_[:size]
                if peeps:
                    _add_seen(first, peepholes[0], cell)
                _opened(first, i)
                f[:] = ONE
            new, opens = all_[(gates - 2) * size : (gates - 1) * size], all_[(gates - 1) * size :]
            for j in range(size):
                g[j] = hyperbolic(new[j])
            _mixed(i, f, g, cell)
            memory[:] = cell
            if peeps:
                _add_seen(opens, peepholes[2], cell)
            _opened(opens, o)
            if squash:
                for j in range(size):
                    read[j] = hyperbolic(memory[j])
            else:
                read[:] = memory
            for j in range(size):
                new[j] = o[j] * read[j]
            h[row] = new
            y[row, t] = new


@contracted
def backward(
    dy: np.ndarray,
    c0: np.ndarray,
    recurrent: np.ndarray,
    peepholes: np.ndarray,
    kind: np.ndarray,
    kept: np.ndarray,
    ddrives: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
) -> None:
    """``recurrent`` is (G S, S). ``dh`` and ``dc`` are those of the last state and become those of
    the first; ``ddrives`` (B, T, G S) is written."""
    batch, steps, size = dy.shape
    forget, peeps, squash = int(kind[0]), kind[1] > 0, kind[2] > 0
    gates = ddrives.shape[2] // size
    slopes = np.empty((batch, gates * size), float32)
    for t in range(steps - 1, -1, -1):
        for row in range(batch):
            before = kept[row, t - 1, 4 * size : 5 * size] if t > 0 else c0[row]
            known, all_, dcell, total = kept[row, t], slopes[row], dc[row], dh[row]
            i, f, g = known[:size], known[size : 2 * size], known[2 * size : 3 * size]
            o, read, given = known[3 * size : 4 * size], known[5 * size :], dy[row, t]
            first = all_[:size]
            dnew, dopens = all_[(gates - 2) * size : (gates - 1) * size], all_[(gates - 1) * size :]
            for j in range(size):
                total[j] += given[j]
            for j in range(size):
                dopens[j] = total[j] * read[j] * o[j] * (ONE - o[j])
            if squash:
                for j in range(size):
                    dcell[j] += total[j] * o[j] * (ONE - read[j] * read[j])
            else:
                for j in range(size):
                    dcell[j] += total[j] * o[j]
            if peeps:
                _add_seen(dcell, peepholes[2], dopens)
            for j in range(size):
                dnew[j] = dcell[j] * i[j] * (ONE - g[j] * g[j])
            if forget == COUPLED:
                for j in range(size):
                    first[j] = dcell[j] * (before[j] - g[j]) * f[j] * (ONE - f[j])
            else:
                for j in range(size):
                    first[j] = dcell[j] * g[j] * i[j] * (ONE - i[j])
            if forget == OWN:
                second = all_[size : 2 * size]
                for j in range(size):
                    second[j] = dcell[j] * before[j] * f[j] * (ONE - f[j])
            for j in range(size):
                dcell[j] *= f[j]
            if peeps:
                _add_seen(dcell, peepholes[1 if forget == COUPLED else 0], first)
                if forget == OWN:
                    _add_seen(dcell, peepholes[1], all_[size : 2 * size])
            ddrives[row, t] = all_
        dh[:] = float32(0.0)
        add_product(slopes, recurrent, dh)
