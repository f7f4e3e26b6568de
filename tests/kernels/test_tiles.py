"""Small matrices in registers: what each operation computes."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.kernels.compiled import compiled
from archsearch.kernels.tiles import (
    columns,
    fused,
    larger,
    less,
    lessened,
    load,
    plus,
    product,
    quotient,
    share,
    store,
    summed,
    total,
)

ROWS, LANES, APART = 3, 8, 11


@compiled
def apply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    tile, row, spread = load(a, 1, 11, 3, 8), load(b, 2, 0, 1, 8), columns(b, 1, 3, 8)
    store(out, 0, 8, product(tile, row))
    store(out, 24, 8, fused(spread, row, tile))
    store(out, 48, 8, lessened(spread, tile, row))
    store(out, 72, 8, plus(tile, spread))
    store(out, 96, 8, less(row, tile))
    store(out, 120, 0, summed(tile))
    out[128] = total(row)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_number_is_computed(kind):
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=1 + ROWS * APART), generator.normal(size=2 + LANES)
    a, b, out = a.astype(kind), b.astype(kind), np.ones(129, kind)
    apply(a, b, out)
    tile, row = a[1:].reshape(ROWS, APART)[:, :LANES], b[2:]
    spread = b[1 : 1 + ROWS, None]
    expected = [
        tile * row,
        spread * row + tile,
        row - spread * tile,
        tile + spread,
        row - tile,
        tile.sum(0),
        row.sum(),
    ]
    within = 1e-6 if kind == np.float32 else 1e-14
    found = np.concatenate([part.ravel() for part in expected])
    np.testing.assert_allclose(out, found, rtol=within, atol=within)


@pytest.mark.parametrize("rows", [1, 2, 7, 16])
def test_rows_of_any_number_are_summed(rows):
    @compiled
    def add(a: np.ndarray, out: np.ndarray) -> None:
        store(out, 0, 0, summed(load(a, 0, 16, rows, 16)))

    a, out = np.random.default_rng(0).normal(size=rows * 16), np.zeros(16)
    add(a, out)
    np.testing.assert_allclose(out, a.reshape(rows, 16).sum(0))


@compiled
def compare(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    tile, row = load(a, 0, 16, 2, 16), load(b, 0, 0, 1, 16)
    store(out, 0, 16, larger(tile, row))
    store(out, 32, 16, quotient(tile, row))
    store(out, 64, 16, share(tile))


def test_comparisons_quotients_and_powers():
    generator = np.random.default_rng(0)
    a = -10 * generator.random(32).astype(np.float32)
    b, out = -10 * generator.random(16).astype(np.float32), np.ones(96, np.float32)
    a[3] = b[5] = np.nan
    compare(a, b, out)
    tile, more = a.reshape(2, 16), out.reshape(3, 2, 16)
    want = np.where(tile > b, tile, b)
    assert np.array_equal(more[0], want, equal_nan=True)
    assert np.array_equal(more[1], tile / b, equal_nan=True)
    np.testing.assert_allclose(more[2], np.exp2(tile), rtol=3e-7)
