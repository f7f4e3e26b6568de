"""Loops with differences of their own around maps whose weights are parametrised."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, weight_norm

from archsearch.depth.lora import LoRA


@pytest.mark.parametrize("parametrise", [weight_norm, orthogonal])
@pytest.mark.parametrize("rest", [False, True])
def test_a_loop_is_the_parametrised_map_with_its_own_difference(parametrise, rest) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(parametrise(nn.Linear(4, 4)))
    tie, x = LoRA(body, 4, 2, rank=1, rest=rest), torch.randn(3, 4)
    for loop in range(2):
        torch.testing.assert_close(tie(x, loop, x), body(x))
    for parameter in tie.parameters():
        nn.init.normal_(parameter, std=0.1)
    assert not torch.allclose(tie(x, 0, x), tie(x, 1, x))
    y = tie(x, 0, x) + tie(x, 1, x)
    gradients = torch.autograd.grad(y.square().sum(), list(tie.parameters()))
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
    kept = {name: part.clone() for name, part in tie.state_dict().items()}
    fresh = LoRA(nn.Sequential(parametrise(nn.Linear(4, 4))), 4, 2, rank=1, rest=rest)
    fresh.load_state_dict(kept)
    torch.testing.assert_close(fresh(x, 1, x), tie(x, 1, x))
