"""The loops of a real recurrence with a coefficient for every term, sixteen units at once.

Arrays: (B, T, 1, D) with D a multiple of ``WIDTH``, but ``h0`` and ``dh0`` (B, 1, D).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import intrinsic

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, load, product, store


@intrinsic
def step(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, product and sum rounded each."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b, c = values
        return builder.fadd(builder.fmul(a, b), c)

    return a(a, b, c), code


@compiled
def forward(a: np.ndarray, b: np.ndarray, h0: np.ndarray, h: np.ndarray) -> None:
    batch, steps, _, units = b.shape
    row = 0
    for n in range(batch):
        for c in range(0, units, WIDTH):
            at = row + c
            store(h, at, step(load(a, at), load(h0, n * units + c), load(b, at)))
        for _ in range(1, steps):
            row += units
            for at in range(row, row + units, WIDTH):
                store(h, at, step(load(a, at), load(h, at - units), load(b, at)))
        row += units


@compiled
def backward(
    a: np.ndarray,
    h: np.ndarray,
    h0: np.ndarray,
    dh: np.ndarray,
    da: np.ndarray,
    db: np.ndarray,
    dh0: np.ndarray,
) -> None:
    """See :func:`archsearch.kernels.scans.scan_loops.backward`; ``da`` is not left out."""
    batch, steps, _, units = h.shape
    # memory is walked through from its end to its begin, without a leap
    row = h.size - units
    for n in range(batch - 1, -1, -1):
        for at in range(row, row + units, WIDTH):
            store(db, at, load(dh, at))
        for _ in range(1, steps):
            for at in range(row, row + units, WIDTH):
                slope, before = load(db, at), at - units
                store(da, at, product(slope, load(h, before)))
                store(db, before, step(load(a, at), slope, load(dh, before)))
            row -= units
        for c in range(0, units, WIDTH):
            at, first = row + c, n * units + c
            slope = load(db, at)
            store(da, at, product(slope, load(h0, first)))
            store(dh0, first, product(load(a, at), slope))
        row -= units
