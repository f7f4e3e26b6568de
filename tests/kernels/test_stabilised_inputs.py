"""Queries, keys, values and gates in one compiled pass, against plain torch."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.stabilised.stabilised_inputs import memory_inputs

# rows, positions, channels, gates; channels that are no whole vectors are left to torch
SIZES = [(1, 1, 16, 2), (3, 7, 64, 8), (2, 37, 48, 18), (2, 16, 32, 6), (2, 5, 12, 4)]
SCALE = 0.3


def parts(rows, steps, width, gates, dtype):
    torch.manual_seed(0)
    sizes = (rows, steps, width), (rows, steps, 2 * width), (3, width // 4, 4, 4)
    sizes += (gates, 3 * width), (gates,)
    return [torch.randn(size, dtype=dtype).requires_grad_() for size in sizes]


def run(form, given):
    c, both, *weights = given
    # half of a projection, as it lies
    return form(c, both.chunk(2, -1)[0], *weights, SCALE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_equals_plain_torch(sizes, dtype):
    given = parts(*sizes, dtype)
    exact = [part.detach().double().requires_grad_() for part in given]
    got, want = run(memory_inputs, given), run(memory_inputs.plain, exact)
    weights = [torch.randn_like(part) for part in want]
    found = torch.autograd.grad(got, given, [part.to(dtype) for part in weights])
    expected = torch.autograd.grad(want, exact, weights)
    near = 1e-5 if dtype == torch.float32 else 1e-13
    for fast, slow in zip((*got, *found), (*want, *expected), strict=True):
        assert fast.dtype == dtype
        assert (fast - slow).abs().max() <= near * slow.abs().max()


def test_gates_see_keys_before_they_are_scaled():
    given = parts(2, 20, 32, 4, torch.float64)
    _, small, _, gates = run(memory_inputs, given)
    c, both, *weights = given
    _, large, _, others = memory_inputs(c, both.chunk(2, -1)[0], *weights, 3 * SCALE)
    torch.testing.assert_close(3 * small, large)
    torch.testing.assert_close(gates, others)


def test_rows_that_lie_apart_are_copied():
    c, both, *weights = parts(2, 20, 32, 4, torch.float64)
    u = both.transpose(0, 1)[..., :32].contiguous().transpose(0, 1)
    turned = c.detach().mT.contiguous().mT.requires_grad_()
    for x in (u, turned):
        got, want = (
            form(turned, x, *weights, SCALE) for form in (memory_inputs, memory_inputs.plain)
        )
        for fast, slow in zip(got, want, strict=True):
            torch.testing.assert_close(fast, slow)
