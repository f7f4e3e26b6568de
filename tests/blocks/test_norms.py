"""RMSNorm is the one of torch, with and without gradients, at any shape."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.blocks.norms import RMSNorm


@pytest.mark.parametrize("shape", [(32, 256, 64), (3, 5, 64), (4, 48), (2, 1, 7), (1, 1, 1)])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_values_and_gradients_are_those_of_torch(shape, scale):
    generator = torch.Generator().manual_seed(0)
    x = scale * torch.randn(shape, generator=generator)
    ours, theirs = RMSNorm(shape[-1]), nn.RMSNorm(shape[-1], eps=1e-6)
    with torch.no_grad():
        ours.weight.copy_(torch.randn(shape[-1], generator=generator))
        theirs.weight.copy_(ours.weight)
        assert torch.equal(ours(x), theirs(x))
    weights = torch.randn(shape, generator=generator)
    found = []
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        y = norm(given)
        dx, dw = torch.autograd.grad((y * weights).sum(), [given, norm.weight])
        found.append((y, scale * dx, dw))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-5, atol=1e-6 * float(other.detach().abs().max())
        )


def test_its_state_is_one_scale():
    assert {name: part.shape for name, part in RMSNorm(8).state_dict().items()} == {"weight": (8,)}
