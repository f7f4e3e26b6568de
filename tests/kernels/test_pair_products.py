"""The compiled products of pairs against plain torch, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.pair_products import pair_products


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5, 2, 4), (2, 70, 8), (3, 17)], ids=str)
def test_equals_plain_torch(shape, dtype, within):
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    exact = x.detach().double().requires_grad_()
    got, want = pair_products(x), pair_products.plain(exact)
    weight = torch.randn_like(want)
    (found,) = torch.autograd.grad(got, x, weight.to(dtype))
    (expected,) = torch.autograd.grad(want, exact, weight)
    for fast, slow in ((got, want), (found, expected)):
        assert fast.dtype == dtype
        assert (fast - slow).abs().max() <= within * slow.abs().max()


def test_gradcheck_of_inputs_that_lie_apart():
    x = torch.randn(3, 2, 8, dtype=torch.float64).transpose(0, 1)[..., ::2].requires_grad_()
    assert torch.autograd.gradcheck(pair_products, (x,))
