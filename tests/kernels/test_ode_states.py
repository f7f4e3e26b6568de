"""The compiled states of a differential equation against the plain ones, values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.recurrences.ode_states import METHODS, ode_states, one_unit
from archsearch.kernels.recurrences.recurrence_cpu import WIDEST

# positions, rows, width
SHAPES = [(1, 1, 1), (1, 3, 5), (7, 1, 16), (9, 4, 7), (2, 2, WIDEST)]
FIELDS = pytest.mark.parametrize("gated", [True, False], ids=["gru", "leaky"])


def problem(shape, gated, dtype=torch.float32):
    steps, rows, width = shape
    torch.manual_seed(0)
    gates = 3 if gated else 1
    inputs = [
        torch.randn(steps, rows, gates * width, dtype=dtype),
        torch.randn(rows, width, dtype=dtype),
        torch.randn(width, gates * width, dtype=dtype) / width**0.5,
        None if gated else torch.rand(width, dtype=dtype),
    ]
    return [None if part is None else part.requires_grad_() for part in inputs]


def slopes(form, inputs, solver, substeps):
    y = form(*inputs, solver, substeps)
    wanted = [part for part in inputs if part is not None]
    return y, *torch.autograd.grad(y, wanted, torch.cos(torch.arange(y.numel())).view_as(y))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize("solver", METHODS)
@FIELDS
def test_compiled_equals_plain(shape, gated, solver, substeps):
    inputs = problem(shape, gated)
    fast = slopes(ode_states, inputs, solver, substeps)
    assert "_States" in type(fast[0].grad_fn).__name__
    slow = slopes(ode_states.plain, inputs, solver, substeps)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(
            one, other, rtol=2e-5, atol=2e-6 * float(other.detach().abs().max()) + 1e-6
        )


@pytest.mark.parametrize("solver", METHODS)
@FIELDS
def test_plain_gradients(gated, solver):
    drives, h, matrix, share = problem((3, 2, 3), gated, torch.float64)
    given = [drives, h, matrix] if gated else [drives, h, matrix, share]
    assert torch.autograd.gradcheck(
        lambda *parts: ode_states(*parts, *([None] if gated else []), solver, 2), given
    )


@FIELDS
def test_inputs_may_lie_anyhow_in_memory(gated):
    drives, h, matrix, share = problem((6, 3, 5), gated)
    turned = [
        part.detach().t().contiguous().t().requires_grad_()
        if part.ndim == 2
        else part.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
        for part in (drives, h, matrix)
    ]
    for one, other in zip(
        slopes(ode_states, [*turned, share], "rk4", 1),
        slopes(ode_states, [drives, h, matrix, share], "rk4", 1),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_wide_state_is_left_to_torch():
    inputs = problem((2, 1, WIDEST + 1), gated=True)
    assert "_States" not in type(ode_states(*inputs, "euler", 1).grad_fn).__name__


@FIELDS
def test_a_unit_is_a_position(gated):
    drives, h, matrix, share = problem((1, 3, 5), gated)
    there = one_unit(drives[0], h, matrix, share, "rk4", 2)
    assert torch.equal(ode_states.plain(drives, h, matrix, share, "rk4", 2)[0], there)


def test_classical_runge_kutta_falls_with_the_fourth_power():
    drives, h, matrix, share = problem((1, 2, 4), False, torch.float64)
    exact = one_unit(drives[0], h, matrix, share, "rk4", 256)
    errors = [
        float((one_unit(drives[0], h, matrix, share, "rk4", cut) - exact).detach().abs().max())
        for cut in (8, 16)
    ]
    assert 12 < errors[0] / errors[1] < 20
