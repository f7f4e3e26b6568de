"""Tiles of sums are the products of matrices, whatever registers a processor has."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from archsearch.kernels import sums
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.lanes.lane_blocks import (
    accumulate,
    accumulate_lower,
    accumulate_upper,
    multiply,
)
from archsearch.kernels.memories.stabilised.stabilised_tiles import join
from archsearch.kernels.projections.tile_products import add_products

# number of registers, and the bits of each: AVX-512, AVX, SSE, NEON
PROCESSORS = [(32, 512), (16, 256), (16, 128), (32, 128)]
# each processor with one type of number, then with the other
CASES = [
    (processor, (np.float32, np.float64)[(place + other) % 2])
    for place, processor in enumerate(PROCESSORS)
    for other in (0, 1)
]
DEPTH = 19


def compiled(function):
    return numba.njit(error_model="numpy", fastmath={"contract"})(function)


def test_sums_leave_room_for_their_factors(monkeypatch):
    found = []
    for processor in PROCESSORS:
        monkeypatch.setattr(sums, "registers", lambda processor=processor: processor)
        found.append((sums.held(32), sums.held(64)))
    assert found == [(30, 14), (6, 2), (2, 1), (6, 2)]


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [(16, 30, [16]), (16, 14, [8, 8]), (16, 6, [5, 5, 6]), (3, 1, [1] * 3)],
)
def test_parts_are_as_few_as_there_is_room_for_and_even(count, most, sizes):
    parts = sums.even_parts(count, most)
    assert [part.stop - part.start for part in parts] == sizes
    assert [i for part in parts for i in range(count)[part]] == list(range(count))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("processor", "kind"), CASES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_equals_the_product_of_matrices(processor, kind, monkeypatch):
    monkeypatch.setattr(sums, "registers", lambda: processor)

    @compiled
    def loop(a, b, blocks, all_, joined, lower, upper):
        accumulate(a, 0, DEPTH, 1, b, 0, 4 * WIDTH, blocks, 0, WIDTH, DEPTH)
        multiply(a, 0, DEPTH, 1, b, 0, 4 * WIDTH, blocks, WIDTH * WIDTH, WIDTH, DEPTH)
        wide = 4 * WIDTH
        add_products(a, 0, DEPTH, 1, b, 0, wide, all_, 0, wide, WIDTH + 3, DEPTH, wide)
        join(0.5, a, 0, DEPTH, 1, b, 0, wide, joined, 0, wide, WIDTH, 3 * WIDTH, DEPTH)
        accumulate_lower(a, 0, DEPTH, 1, b, 0, wide, lower, 0, WIDTH)
        accumulate_upper(a, 0, DEPTH, 1, b, 0, wide, upper, 0, WIDTH)

    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=size).astype(kind) for size in ((24, DEPTH), (DEPTH, 4 * WIDTH)))
    blocks = rng.normal(size=(2, WIDTH, WIDTH)).astype(kind)
    all_ = rng.normal(size=(WIDTH + 3, 4 * WIDTH)).astype(kind)
    joined = rng.normal(size=(WIDTH, 4 * WIDTH)).astype(kind)
    lower, upper = (rng.normal(size=(WIDTH, WIDTH)).astype(kind) for _ in range(2))
    square, column = a[:WIDTH, :WIDTH], b[:WIDTH, :WIDTH]
    first = a[:WIDTH] @ b[:, :WIDTH]
    expected = [
        np.stack([blocks[0] + first, first]),
        all_ + a[: WIDTH + 3] @ b,
        np.concatenate(
            [joined[:, : 3 * WIDTH] / 2 + (a[:WIDTH] @ b)[:, : 3 * WIDTH], joined[:, 3 * WIDTH :]],
            1,
        ),
        lower + np.tril(square) @ column,
        upper + np.triu(square) @ column,
    ]
    given = [part.reshape(-1) for part in (blocks, all_, joined, lower, upper)]
    loop(a.reshape(-1), b.reshape(-1), *given)
    for ours, true in zip((blocks, all_, joined, lower, upper), expected, strict=True):
        np.testing.assert_allclose(
            ours, true, rtol=1e-4 if kind is np.float32 else 1e-12, atol=1e-5
        )
