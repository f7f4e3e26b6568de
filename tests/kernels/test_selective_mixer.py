"""The selective mixer as one kernel against its steps in plain torch, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.scans.selective import rows_at_once
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer

# (B, T, W, E, N, R, taps)
SHAPES = [
    (1, 1, 16, 16, 1, 1, 4),
    (3, 37, 24, 48, 5, 2, 4),
    (2, 2, 16, 32, 3, 1, 4),
    (2, 9, 16, 32, 16, 4, 3),
    (2, 5, 16, 16, 2, 1, 1),
    (2, 7, 6, 5, 3, 1, 4),
    (3, 1, 16, 32, 4, 2, 4),
    (1, 2, 16, 32, 4, 2, 4),
    (2, 2, 16, 16, 4, 2, 6),
    # more positions than are convolved together, by one and by a part
    (1, 65, 16, 16, 3, 1, 6),
    (2, 150, 16, 32, 4, 2, 4),
    # rows, parts and widths that fill no vector, one by one
    (1, 17, 16, 16, 6, 4, 4),
    (3, 16, 40, 16, 8, 2, 4),
]


def problem(shape, scale=1.0):
    rows, steps, width, inner, size, rank, taps = shape
    torch.manual_seed(0)
    parts = (
        scale * torch.randn(rows, steps, width),
        torch.randn(rows, taps - 1, inner),
        torch.randn(rows, inner, size),
        width**-0.5 * torch.randn(2 * inner, width),
        0.5 * torch.randn(taps, inner),
        inner**-0.5 * torch.randn(rank + 2 * size, inner),
        0.5 * torch.randn(inner, rank),
        torch.randn(inner) - 3,
        0.5 + 4 * torch.rand(inner, size),
        torch.randn(inner),
        inner**-0.5 * torch.randn(width, inner),
    )
    return [part.requires_grad_() for part in parts]


def slopes(form, inputs):
    """Answers and the gradients of their weighted sum."""
    found = form(*inputs)
    torch.manual_seed(1)
    weights = [torch.randn(part.shape).to(part.dtype) for part in found]
    return (*found, *torch.autograd.grad(found, inputs, weights))


@pytest.mark.parametrize("at_once", [1, 2048])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_plain_torch(shape, at_once, monkeypatch):
    monkeypatch.setattr(rows_at_once, "POSITIONS", at_once)
    inputs = problem(shape)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    for got, want in zip(
        slopes(selective_mixer, inputs), slopes(selective_mixer.plain, exact), strict=True
    ):
        assert got.dtype == torch.float32
        assert got.shape == want.shape
        assert got.numel() == 0 or (got - want).abs().max() <= 5e-6 * want.abs().max()


def test_plain_gradcheck():
    inputs = [part.detach().double().requires_grad_() for part in problem((2, 5, 4, 3, 2, 1, 3))]
    assert torch.autograd.gradcheck(selective_mixer, inputs)


def test_inputs_may_lie_anyhow_in_memory():
    inputs = problem((3, 9, 16, 32, 4, 2, 4))
    moved = [part.detach().mT.contiguous().mT if part.ndim > 1 else part for part in inputs]
    moved = [part.detach().requires_grad_() for part in moved]
    for got, want in zip(
        slopes(selective_mixer, moved), slopes(selective_mixer, inputs), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 1, 16, 32, 4, 2, 4), (1, 9, 16, 32, 4, 2, 2)], ids=str)
def test_strides_of_sizes_of_one_say_nothing(shape):
    inputs = problem(shape)
    moved = []
    for part in inputs:
        strides = [
            7 if size == 1 else at for size, at in zip(part.shape, part.stride(), strict=True)
        ]
        moved.append(part.detach().as_strided(part.shape, strides).requires_grad_())
    assert moved[0].stride() != inputs[0].stride()
    for got, want in zip(
        slopes(selective_mixer, moved), slopes(selective_mixer, inputs), strict=True
    ):
        assert torch.equal(got, want)


def test_what_is_not_asked_for_may_be_missing():
    inputs = problem((2, 9, 16, 32, 4, 2, 4))
    inputs[0] = inputs[0].detach()
    for chosen in range(3):
        found = selective_mixer(*inputs)[chosen]
        got = torch.autograd.grad(found.square().sum(), inputs[3:5])
        want = torch.autograd.grad(
            selective_mixer.plain(*inputs)[chosen].square().sum(), inputs[3:5], allow_unused=True
        )
        for one, other in zip(got, want, strict=True):
            other = torch.zeros_like(one) if other is None else other
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_second_way_back_finds_the_same_and_inputs_stay():
    inputs = problem((2, 19, 16, 32, 4, 2, 4))
    before = [part.detach().clone() for part in inputs]
    y, left, _ = selective_mixer(*inputs)
    total = y.square().sum() + left.sum()
    one, two = (torch.autograd.grad(total, inputs, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, one, two))
    assert all(map(torch.equal, before, inputs))


def test_large_inputs_stay_finite():
    for part in slopes(selective_mixer, problem((1, 19, 16, 32, 4, 2, 4), scale=1e3)):
        assert part.isfinite().all()


@pytest.mark.parametrize("place", [3, 5])
def test_projections_that_make_too_little_are_refused(place):
    inputs = problem((2, 5, 16, 32, 3, 1, 4))
    inputs[place] = inputs[place][2:]
    with pytest.raises((RuntimeError, ValueError)):
        selective_mixer(*inputs)


def test_a_missing_number_stays_in_its_row_and_before_it():
    inputs = problem((3, 37, 24, 48, 5, 2, 4))
    x = inputs[0].detach().clone()
    x[1, 20] = torch.nan
    x.requires_grad_()
    y = selective_mixer(x, *inputs[1:])[0]
    (dx,) = torch.autograd.grad(y.sum(), x)
    for part in (y, dx):
        assert part[[0, 2]].isfinite().all()
    assert y[1, :20].isfinite().all()
    assert y[1, 20:].isnan().all()
