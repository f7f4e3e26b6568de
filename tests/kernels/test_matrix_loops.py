"""Products of small matrices inside compiled loops."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.kernels.compiled import compiled
from archsearch.kernels.matrix_loops import add_product, put_product, turn


@compiled
def products(
    left: np.ndarray, right: np.ndarray, put: np.ndarray, added: np.ndarray, sides: np.ndarray
) -> None:
    rows, depth, wide = int(sides[0]), int(sides[1]), int(sides[2])
    put_product(left, depth, 1, right, put, rows, depth, wide)
    # the same numbers read as the matrix that is turned
    add_product(left, 1, rows, right, added, rows, depth, wide)


@compiled
def turns(matrix: np.ndarray, turned: np.ndarray, sides: np.ndarray) -> None:
    turn(matrix, 5, turned, int(sides[0]), int(sides[1]))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("sides", [(8, 1, 16), (16, 16, 16), (24, 5, 32)], ids=str)
def test_products(kind, sides):
    generator = np.random.default_rng(0)
    rows, depth, wide = sides
    left, right = generator.normal(size=rows * depth), generator.normal(size=(depth, wide))
    before = generator.normal(size=(rows, wide))
    put, added = np.full(rows * wide, np.nan, kind), before.ravel().astype(kind)
    products(*(x.ravel().astype(kind) for x in (left, right)), put, added, np.array(sides, kind))
    within = 1e-5 if kind == np.float32 else 1e-13
    expected = left.reshape(rows, depth) @ right
    np.testing.assert_allclose(put.reshape(rows, wide), expected, rtol=within, atol=within)
    expected = before + left.reshape(depth, rows).T @ right
    np.testing.assert_allclose(added.reshape(rows, wide), expected, rtol=within, atol=within)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("sides", [(16, 16), (32, 16), (16, 48)], ids=str)
def test_turn(kind, sides):
    matrix = np.arange(5 + sides[0] * sides[1], dtype=kind)
    turned = np.zeros(sides[0] * sides[1], kind)
    turns(matrix, turned, np.array(sides, kind))
    assert (turned.reshape(sides[::-1]) == matrix[5:].reshape(sides).T).all()
