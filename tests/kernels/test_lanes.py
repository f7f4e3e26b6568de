"""Sixteen numbers at once: what each operation computes."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    lessened,
    load,
    power_of_two,
    product,
    quotient,
    repeated,
    splat,
    store,
    total,
    turned,
)


@compiled
def apply(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    one, other = load(a, 1), load(b, 0)
    store(out, 0, product(one, other))
    store(out, WIDTH, fused(one, other, splat(a[0])))
    store(out, 2 * WIDTH, quotient(one, other))
    store(out, 3 * WIDTH, turned(one, 1))
    store(out, 4 * WIDTH, turned(one, 3))
    store(out, 5 * WIDTH, lessened(one, other, repeated(a, 2)))
    out[6 * WIDTH] = total(one)


@compiled
def powers(x: np.ndarray, out: np.ndarray) -> None:
    for at in range(0, x.shape[0], WIDTH):
        store(out, at, power_of_two(load(x, at)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_every_lane_is_computed(kind):
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=WIDTH + 1).astype(kind), generator.normal(size=WIDTH).astype(kind)
    out = np.ones(6 * WIDTH + 1, kind)
    apply(a, b, out)
    one, within = a[1:], 1e-6 if kind == np.float32 else 1e-14
    groups = one.reshape(-1, 4)
    expected = [
        *(one * b, one * b + a[0], one / b),
        *(groups[:, [1, 2, 3, 0]].ravel(), groups[:, [3, 0, 1, 2]].ravel()),
        a[2] - one * b,
        [one.sum()],
    ]
    np.testing.assert_allclose(out, np.concatenate(expected), rtol=within, atol=within)


def test_powers_of_two_are_right_to_single_precision():
    x = np.linspace(-126, 126, 1 << 16, dtype=np.float32)
    out = np.empty_like(x)
    powers(x, out)
    exact = 2.0 ** x.astype(np.float64)
    assert np.abs(out / exact - 1).max() < 2e-7
    whole = np.arange(-126, -126 + 16 * 15, dtype=np.float32)
    powers(whole, out[: len(whole)])
    assert (out[: len(whole)] == 2.0 ** whole.astype(np.float64)).all()


def test_powers_beyond_the_range_are_its_ends_and_a_missing_number_stays_missing():
    x = np.array([-1e30, -np.inf, 1e30, np.inf, np.nan] + [0.0] * 11, np.float32)
    out = np.empty_like(x)
    powers(x, out)
    assert out[:2].tolist() == [2.0**-126] * 2
    assert out[2:4].tolist() == [2.0**127] * 2
    assert np.isnan(out[4])
    assert out[5:].tolist() == [1.0] * 11
