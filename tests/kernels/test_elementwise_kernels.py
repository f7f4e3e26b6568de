"""The compiled norms, scalings and block products against plain torch, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.rectified_norm import rectified_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.recurrences.block_product import block_product

# rows of every kind of size: no vector, one, several; more rows than are summed at once
SIZES = [(1, 1, 1, 5), (1, 1, 2, 16), (3, 7, 1, 32), (2, 70, 2, 16)]


def compared(form, inputs, within, dtype=torch.float32):
    """Values and gradients of ``form`` near those of its plain form in double precision."""
    given = [part.to(dtype).requires_grad_() for part in inputs]
    exact = [part.detach().double().requires_grad_() for part in given]
    got, want = form(*given), form.plain(*exact)
    weight = torch.randn_like(want)
    found = torch.autograd.grad(got, given, weight.to(dtype))
    expected = torch.autograd.grad(want, exact, weight)
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == dtype
        assert (fast - slow).abs().max() <= within * slow.abs().max()


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_gated_norm(shape):
    torch.manual_seed(0)
    gate = 3 * torch.randn(*shape[:2], shape[2] * shape[3])
    compared(gated_norm, [torch.randn(shape), torch.randn(shape[-1]), gate], 1e-5)


@pytest.mark.parametrize("gated", [True, False])
def test_gated_norm_without_its_parts(gated):
    torch.manual_seed(0)
    x, gate = torch.randn(2, 5, 2, 16, requires_grad=True), torch.randn(2, 5, 32)
    given = gate if gated else None
    got, want = gated_norm(x, None, given), gated_norm.plain(x, None, given)
    torch.testing.assert_close(got, want)
    slopes = [torch.autograd.grad(found.square().sum(), x)[0] for found in (got, want)]
    torch.testing.assert_close(*slopes)


def test_gated_norm_under_gates_that_saturate():
    x = torch.randn(1, 2, 1, 16, requires_grad=True)
    gate = torch.tensor([-300.0, 300.0]).repeat_interleave(16).view(1, 2, 16).requires_grad_()
    y = gated_norm(x, None, gate)
    dx, dgate = torch.autograd.grad(y.sum(), (x, gate))
    assert y[:, 0].abs().max() < 1e-30
    assert all(part.isfinite().all() for part in (y, dx, dgate))


@pytest.mark.parametrize("slope", [0.25, 0.0, -0.5])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_rectified_norm(shape, slope):
    torch.manual_seed(0)
    # beside rows in one piece, a part of wider ones
    for x in (torch.randn(shape), torch.randn(*shape[:-1], 2 * shape[-1])[..., 1::2]):
        compared(rectified_norm, [x, torch.randn(shape[-1]), torch.tensor([slope])], 1e-5)


def test_a_rectified_norm_of_zeros_and_of_no_numbers():
    x = torch.zeros(4, 16)
    x[1, 3] = torch.nan
    x.requires_grad_()
    weight, slope = (torch.ones(size, requires_grad=True) for size in (16, 1))
    y = rectified_norm(x, weight, slope)
    (dx,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y, rectified_norm.plain(x, weight, slope), equal_nan=True)
    assert torch.equal(dx.isnan(), y.isnan())
    assert torch.equal(y.isnan().all(1), torch.tensor([False, True, False, False]))


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_unit_length(shape, dtype, within):
    torch.manual_seed(0)
    compared(unit_length, [torch.randn(shape)], within, dtype)


def test_a_vector_too_short_to_have_a_direction():
    x = torch.zeros(3, 16)
    x[1], x[2] = 1e-9, 1.0
    x.requires_grad_()
    y = unit_length(x)
    torch.testing.assert_close(y, unit_length.plain(x))
    weight = torch.randn(3, 16)
    (got,) = torch.autograd.grad(y, x, weight)
    (want,) = torch.autograd.grad(unit_length.plain(x)[1:], x, weight[1:])
    torch.testing.assert_close(got[1:], want[1:])
    assert got[0].isfinite().all()


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("width", "block"), [(8, 4), (16, 4), (48, 4), (16, 2)])
def test_block_product(width, block, dtype, within):
    torch.manual_seed(0)
    blocks = torch.randn(width // block, block, block)
    compared(block_product, [torch.randn(3, 70, width), blocks], within, dtype)
    matrix = torch.block_diag(*blocks)
    x = torch.randn(1, 1, width, requires_grad=True)
    torch.testing.assert_close(block_product(x, blocks), x @ matrix.t())


def test_gradcheck():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 16, dtype=torch.float64).transpose(0, 1).requires_grad_()
    blocks = torch.randn(4, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_length, (x,))
    assert torch.autograd.gradcheck(block_product, (x, blocks))
