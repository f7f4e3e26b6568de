"""The compiled end of selective cells against plain torch, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.norms.gated_skip import gated_skip

SIZES = [(1, 1, 16), (3, 7, 32), (2, 70, 48), (2, 3, 5), (4, 16)]


def parts(shape, normed):
    torch.manual_seed(0)
    size = shape[-1]
    whole = torch.randn(*shape[:-1], 3 * size)
    found = [torch.randn(shape), whole[..., size : 2 * size], torch.randn(size)]
    found.append(3 * whole[..., 2 * size :])
    return [*found, torch.randn(size)] if normed else found


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("turned", [False, True])
def test_equals_plain_torch(shape, normed, turned):
    given = parts(shape, normed)
    if turned:
        given = [part.mT.contiguous().mT if part.ndim > 1 else part for part in given]
    given = [part.detach().requires_grad_() for part in given]
    exact = [part.detach().double().requires_grad_() for part in given]
    got, want = gated_skip(*given), gated_skip.plain(*exact)
    weight = torch.randn_like(want)
    found = torch.autograd.grad(got, given, weight.float())
    expected = torch.autograd.grad(want, exact, weight)
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == torch.float32
        assert (fast - slow).abs().max() <= 1e-5 * slow.abs().max()


def test_parts_of_one_projection_are_read_where_they_lie():
    whole = torch.randn(2, 5, 80, requires_grad=True)
    x, u, gate = whole.split([32, 16, 32], -1)[0], whole[..., 16:48], whole[..., 40:72]
    skip, weight = torch.randn(32), torch.randn(32)
    slopes = torch.randn(2, 5, 32)
    got, want = (
        torch.autograd.grad(form(x, u, skip, gate, weight), whole, slopes, retain_graph=True)[0]
        for form in (gated_skip, gated_skip.plain)
    )
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normed", [True, False])
def test_gates_that_saturate(normed):
    gate = torch.tensor([-300.0, 300.0]).repeat_interleave(16).view(1, 2, 16).requires_grad_()
    x = torch.randn(1, 2, 16, requires_grad=True)
    y = gated_skip(x, x, torch.ones(16), gate, torch.ones(16) if normed else None)
    slopes = torch.autograd.grad(y.sum(), (x, gate))
    assert y[:, 0].abs().max() < 1e-30
    assert all(part.isfinite().all() for part in (y, *slopes))
