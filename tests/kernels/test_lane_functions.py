"""Functions of sixteen numbers at once: within what they promise of the exact values."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lane_functions import hyperbolic, share, sigmoid, softplus, totals
from archsearch.kernels.lanes import WIDTH, load, store


@compiled
def apply(x: np.ndarray, powers: np.ndarray, soft: np.ndarray, open_: np.ndarray) -> None:
    for at in range(0, x.size, WIDTH):
        store(powers, at, share(load(x, at)))
        store(soft, at, softplus(load(x, at)))
        store(open_, at, sigmoid(load(x, at)))


@compiled
def bend(x: np.ndarray, y: np.ndarray) -> None:
    for at in range(0, x.size, WIDTH):
        store(y, at, hyperbolic(load(x, at)))


@compiled
def add_up(rows: np.ndarray, sums: np.ndarray) -> None:
    store(sums, 0, totals(rows, 3))


def applied(x):
    out = [np.empty_like(x) for _ in range(3)]
    apply(x, *out)
    return out


def test_they_are_right_to_single_precision():
    x = np.linspace(-30, 30, 1 << 14, dtype=np.float32)
    powers, soft, open_ = applied(x)
    exact, falling = x.astype(np.float64), x <= 0
    assert np.abs(powers / 2.0**exact - 1)[falling].max() < 2e-7
    assert np.abs(soft / np.logaddexp(0, exact) - 1).max() < 2e-6
    assert np.abs(open_ * (1 + np.exp(-exact)) - 1).max() < 2e-6


def test_the_ends_of_the_range_and_a_missing_number():
    x = np.zeros(WIDTH, np.float32)
    x[:5] = -np.inf, -1e30, 1e30, np.inf, np.nan
    powers, soft, open_ = applied(x)
    assert powers[:2].tolist() == [2.0**-126] * 2
    assert powers[5:].tolist() == [1.0] * 11
    assert soft[:2].max() < 1e-37
    assert soft[2:4].tolist() == [np.float32(1e30), np.inf]
    assert open_[:2].max() < 1e-37
    assert open_[2:4].tolist() == [1.0, 1.0]
    assert all(np.isnan(found[4]) for found in (powers, soft, open_))


def test_the_hyperbolic_tangent_is_right_for_small_and_large_numbers():
    sizes = np.concatenate([np.logspace(-30, 2, 1 << 13), np.linspace(0, 12, 1 << 13)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    y = np.empty_like(x)
    bend(x, y)
    exact = np.tanh(x.astype(np.float64))
    assert (np.abs(y - exact) <= 1e-6 * np.abs(exact)).all()
    x[:5] = -np.inf, -1e30, 1e30, np.inf, np.nan
    bend(x, y)
    assert y[:4].tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert np.isnan(y[4])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_each_lane_has_the_sum_of_its_row(kind):
    rows = np.random.default_rng(0).normal(size=3 + WIDTH * WIDTH).astype(kind)
    sums = np.empty(WIDTH, kind)
    add_up(rows, sums)
    within = 1e-5 if kind == np.float32 else 1e-13
    np.testing.assert_allclose(sums, rows[3:].reshape(WIDTH, WIDTH).sum(1), atol=within)
