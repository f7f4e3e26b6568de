"""A square in registers comes out with its columns as rows, whatever registers there are."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from archsearch.kernels import transpose as turning
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.transpose import transpose

# number of registers, and the bits of each: AVX-512, AVX, SSE
PROCESSORS = [(32, 512), (16, 256), (16, 128)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_columns_become_rows_and_nothing_else_is_written(processor, kind, monkeypatch):
    monkeypatch.setattr(turning, "registers", lambda: processor)

    @numba.njit
    def loop(source, target):
        transpose(source, 3, WIDTH + 4, target, 2, WIDTH + 1)

    source = np.arange(3 + WIDTH * (WIDTH + 4), dtype=kind)
    target = np.full(2 + WIDTH * (WIDTH + 1), -1, kind)
    loop(source, target)
    square = source[3:].reshape(WIDTH, -1)[:, :WIDTH]
    turned = target[2:].reshape(WIDTH, -1)
    np.testing.assert_array_equal(turned[:, :WIDTH], square.T)
    assert (target[:2] == -1).all()
    assert (turned[:, WIDTH:] == -1).all()
