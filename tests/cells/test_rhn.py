"""The recurrent highway network against its equations and what depth does to it."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.rhn import RHN

WIDTH = 9


def by_hand(cell, x):
    h, outputs = x.new_zeros(len(x), WIDTH), []
    for x_t in x.unbind(1):
        for level in range(cell.depth):
            layer = cell.layers[min(level, len(cell.layers) - 1)]
            gates = h @ layer.weight.t() + layer.bias
            if level == 0:
                gates = gates + x_t @ cell.input.weight.t()
            u, g = gates[:, :WIDTH].tanh(), gates[:, WIDTH : 2 * WIDTH].sigmoid()
            carry = 1 - g if cell.coupled else gates[:, 2 * WIDTH :].sigmoid()
            h = g * u + carry * h
        outputs.append(h)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("shared", [True, False])
def test_it_follows_its_equations(depth, coupled, shared):
    torch.manual_seed(0)
    cell = RHN(WIDTH, depth=depth, coupled=coupled, shared=shared).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 8, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], by_hand(cell, x))


@pytest.mark.parametrize("coupled", [True, False])
def test_a_closed_transform_gate_carries_the_state(coupled):
    torch.manual_seed(0)
    cell = RHN(WIDTH, depth=4, coupled=coupled, transform_bias=-20.0)
    h = torch.randn(2, WIDTH)
    with torch.no_grad():
        _, (kept,) = cell(torch.randn(2, 20, WIDTH), (h,))
    torch.testing.assert_close(kept, h, rtol=1e-4, atol=1e-4)


def test_a_gradient_crosses_many_deep_steps():
    torch.manual_seed(0)
    cell = RHN(WIDTH, depth=5, transform_bias=-4.0)
    x = torch.randn(4, 50, WIDTH, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell(x)[0][:, -1].sum(), x)
    assert gradient.isfinite().all()
    assert gradient[:, 0].abs().max() > 1e-4
