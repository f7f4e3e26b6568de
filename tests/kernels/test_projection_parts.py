"""A linear map in parts against the whole one in double precision, values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.projections.parts import parts

# (shape of the input, outputs): less than a block of rows, several, and rows that fill no block
SHAPES = [((1, 16, 16), (16,)), ((2, 40, 32), (20, 3, 16)), ((3, 112, 64), (128, 4))]


def problem(shape, sizes):
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(sum(sizes), shape[-1]) * shape[-1] ** -0.5
    return x.requires_grad_(), weight.requires_grad_()


def compared(x, weight, sizes):
    exact = [part.detach().double().requires_grad_() for part in (x, weight)]
    fast, slow = parts(x, weight, sizes), parts.plain(*exact, sizes)
    slopes = [torch.randn_like(part) for part in slow]
    got = torch.autograd.grad(fast, (x, weight), [part.float() for part in slopes])
    want = torch.autograd.grad(slow, exact, slopes)
    assert type(fast[0].grad_fn).__name__ == "_PartsBackward"
    for one, other in zip((*fast, *got), (*slow, *want), strict=True):
        assert (one.dtype, one.shape) == (torch.float32, other.shape)
        assert (one - other).abs().max() <= 2e-6 * other.abs().max()


@pytest.mark.parametrize(("shape", "sizes"), SHAPES, ids=str)
def test_equals_the_whole_map(shape, sizes):
    compared(*problem(shape, sizes), sizes)


def test_inputs_that_are_turned_and_one_slope_for_all():
    x, weight = problem((16, 3, 32), (20, 12))
    turned = x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    apart = weight.detach().t().contiguous().t().requires_grad_()
    compared(turned, apart, (20, 12))
    found = parts(x, weight, (20, 12))
    slope = torch.tensor(2.0).expand(16, 3, 20)
    got = torch.autograd.grad(found[0], (x, weight), slope)
    want = torch.autograd.grad(parts.plain(x, weight, (20, 12))[0], (x, weight), slope)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("shape", [(3, 5, 16), (1, 1, 16), (2, 8, 9)], ids=str)
def test_rows_that_fill_no_vector_go_the_plain_way(shape):
    x, weight = problem(shape, (20, 3))
    for one, other in zip(parts(x, weight, (20, 3)), parts.plain(x, weight, (20, 3)), strict=True):
        assert torch.equal(one, other)


def test_a_missing_number_stays_in_its_row():
    x, weight = problem((1, 32, 16), (16, 4))
    with torch.no_grad():
        x[0, 7, 2] = torch.nan
    for found in parts(x, weight, (16, 4)):
        assert found[0, 7].isnan().all()
        assert found.isnan().sum() == found.shape[-1]
