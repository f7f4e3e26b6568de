"""ParaGRU trained by a few of Newton's iterations: by hand, and where they are exact."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.paragru import ParaGRU
from archsearch.kernels.recurrences.diagonal import advance_gru

WIDTH = 5


def made(std=0.4, **options):
    torch.manual_seed(0)
    cell = ParaGRU(WIDTH, solve="newton", **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return cell


def given(rows=2, steps=12):
    x = torch.randn(rows, steps, WIDTH, dtype=torch.float64, requires_grad=True)
    return x, torch.randn(rows, WIDTH, dtype=torch.float64, requires_grad=True)


def sequential(cell, x, h):
    plain = ParaGRU(WIDTH).double()
    plain.load_state_dict(cell.state_dict())
    return plain(x, (h,))[0]


def by_hand(cell, x, h0, iterations, damping):
    """Every iteration a loop over the steps; derivatives of a step by autograd."""

    def step(t, h):
        return advance_gru(cell.input(x[:, t]) + cell.bias, cell.a, h)

    steps = x.shape[1]
    h = [step(t, torch.zeros_like(h0)).detach() for t in range(steps)]
    for k in range(iterations):
        last, found, y = k == iterations - 1, [], h0
        for t in range(steps):
            before = (h[t - 1] if t else h0).detach().requires_grad_()
            value = step(t, before)
            (slope,) = torch.autograd.grad(value.sum(), before, retain_graph=True)
            y = slope * (y - before.detach()) + step(t, before.detach())
            found.append(y)
        h = (
            found
            if last
            else [(a + damping * (b - a)).detach() for a, b in zip(h, found, strict=True)]
        )
    return torch.stack(h, 1)


@pytest.mark.parametrize("size", [(2, 12), (1, 1)], ids=str)
@pytest.mark.parametrize("damping", [1.0, 0.7])
@pytest.mark.parametrize("iterations", [1, 3])
def test_training_follows_the_iterations(iterations, damping, size):
    cell = made(iterations=iterations, damping=damping, tolerance=1e6)
    x, h = given(*size)
    y, (after,) = cell(x, (h,))
    want = by_hand(cell, x, h, iterations, damping)
    assert torch.equal(after, y[:, -1])
    torch.testing.assert_close(y, want)
    parts, weights = (x, h, *cell.parameters()), torch.randn_like(y)
    found, expected = (torch.autograd.grad((out * weights).sum(), parts) for out in (y, want))
    for slope, by in zip(found, expected, strict=True):
        torch.testing.assert_close(slope, by)


def test_many_iterations_give_the_states_and_slopes_of_the_loop():
    cell, (x, h) = made(iterations=10, tolerance=1e-10), given()
    y, want = cell(x, (h,))[0], sequential(cell, x, h)
    assert not torch.equal(y, want)
    torch.testing.assert_close(y, want)
    slopes, expected = (torch.autograd.grad(out.square().sum(), (x, h)) for out in (y, want))
    torch.testing.assert_close(slopes, expected)


def test_errors_fall_with_every_iteration_and_the_first_states_have_none():
    x, h = given(steps=40)
    errors = []
    for iterations in (1, 2, 3, 4):
        cell = made(iterations=iterations, tolerance=1e6)
        away = (cell(x, (h,))[0] - sequential(cell, x, h)).abs()
        assert away[:, :iterations].max() < 1e-12
        errors.append(away.max().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3 * errors[0]


def test_what_does_not_settle_goes_step_by_step():
    cell, (x, h) = made(std=4.0, iterations=4), given(steps=60)
    assert torch.equal(cell(x, (h,))[0], sequential(cell, x, h))
    cell.newton = (4, 1.0, 1e9)
    assert not torch.allclose(cell(x, (h,))[0], sequential(cell, x, h))


def test_evaluation_goes_step_by_step():
    cell, (x, h) = made(iterations=2, tolerance=1.0), given()
    assert not torch.equal(cell(x, (h,))[0], sequential(cell, x, h))
    assert torch.equal(cell.eval()(x, (h,))[0], sequential(cell, x, h))
