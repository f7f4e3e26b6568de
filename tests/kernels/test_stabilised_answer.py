"""The compiled end of a cell with a stabilised memory, against plain torch."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer

# what comes before the heads, heads, their size; a size of no whole vectors is left to torch
SIZES = [((1, 1), 1, 16), ((3, 7), 2, 32), ((2, 70), 3, 48), ((2, 3), 2, 5), ((4,), 2, 16)]


def parts(rows, heads, size):
    torch.manual_seed(0)
    whole = torch.randn(*rows, 2 * heads * size)
    found = [torch.randn(*rows, heads, size), torch.randn(heads, size)]
    found += [torch.randn(*rows, heads * size), torch.randn(heads * size)]
    return [*found, 3 * whole]


def run(form, given):
    *others, both = given
    # half of a projection, as it lies
    return form(*others, both.chunk(2, -1)[1])


@pytest.mark.parametrize(("rows", "heads", "size"), SIZES, ids=str)
def test_equals_plain_torch(rows, heads, size):
    given = [part.requires_grad_() for part in parts(rows, heads, size)]
    exact = [part.detach().double().requires_grad_() for part in given]
    got, want = run(gated_answer, given), run(gated_answer.plain, exact)
    weight = torch.randn_like(want)
    found = torch.autograd.grad(got, given, weight.float())
    expected = torch.autograd.grad(want, exact, weight)
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == torch.float32
        assert (fast - slow).abs().max() <= 1e-5 * slow.abs().max()


def test_gates_that_saturate():
    h, scale, direct, skip, _ = parts((1, 2), 1, 16)
    gate = torch.tensor([-300.0, 300.0]).repeat_interleave(16).view(1, 2, 16).requires_grad_()
    y = gated_answer(h.requires_grad_(), scale, direct, skip, gate)
    slopes = torch.autograd.grad(y.sum(), (h, gate))
    assert y[:, 0].abs().max() < 1e-30
    assert all(part.isfinite().all() for part in (y, *slopes))


def test_a_head_of_equal_values_keeps_finite_slopes():
    h = torch.full((1, 2, 2, 16), 0.5, requires_grad=True)
    _, scale, direct, skip, both = parts((1, 2), 2, 16)
    y = gated_answer(h, scale, direct, skip, both[..., :32])
    (dh,) = torch.autograd.grad(y.square().sum(), h)
    assert y.isfinite().all()
    assert dh.isfinite().all()
    # the norm takes away what all values of a head have in common
    assert dh.sum(-1).abs().max() <= 1e-3 * dh.abs().max()
