"""S4D, LSSL and LMU: their matrices, their steps in time, and what they remember."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from archsearch.cells.linear import hippo
from archsearch.cells.linear.lmu import LMU
from archsearch.cells.linear.lssl import LSSL
from archsearch.cells.linear.s4d import S4D, discretise, rates
from archsearch.errors import ArchitectureError
from archsearch.kernels.memories.window_memory import window_memory


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_hippo_matrices_are_skew_less_a_square(size):
    matrix, write = hippo.legs(size)
    skew, damping, shift = hippo.legs_factors(size)
    torch.testing.assert_close(skew, -skew.mT)
    torch.testing.assert_close(skew - damping @ damping.mT - shift * torch.eye(size), matrix)
    skew, damping, shift = hippo.legt_factors(size)
    n = torch.arange(size)
    signs = torch.where(n[:, None] < n, (-1.0) ** (n[:, None] - n), 1.0)
    torch.testing.assert_close(skew, -skew.mT)
    window = -write[:, None] * write * signs
    torch.testing.assert_close(
        skew - damping @ damping.mT - shift * torch.eye(size), window, atol=1e-12, rtol=1e-12
    )


def test_the_first_legs_matrix_is_as_printed():
    expected = torch.tensor([[-1.0, 0.0, 0.0], [-(3**0.5), -2, 0], [-(5**0.5), -(15**0.5), -3]])
    torch.testing.assert_close(hippo.legs(3)[0], expected.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("init", ["lin", "inv", "legs", "real"])
def test_s4d_starts_stable_and_in_conjugate_pairs(init):
    a = rates(init, 16)
    assert a.shape == (8,)
    assert (a.real < 0).all()
    assert (a.imag >= 0).all()
    cell = S4D(4, state=16, init=init)
    factor, _, _ = cell._system()
    assert factor.abs().max() < 1
    # dt runs from 0.001 to 0.1
    kept = torch.exp(cell.dt_log.exp()[:, None] * a.real.float())
    torch.testing.assert_close(factor.abs(), kept)


def test_s4d_starts_as_the_paper_says():
    n = torch.arange(8)
    torch.testing.assert_close(rates("lin", 16).imag, math.pi * n.double())
    torch.testing.assert_close(
        rates("inv", 16).imag, 16 / math.pi * (16 / (2 * n.double() + 1) - 1)
    )
    torch.testing.assert_close(rates("real", 16).real, -(n + 1.0).double())
    # the normal part of LegS has the eigenvalues -1/2 +- i w
    matrix, write = hippo.legs(16)
    normal = matrix + write[:, None] * write / 2
    eigenvalues = torch.linalg.eigvals(normal)
    torch.testing.assert_close(eigenvalues.real, torch.full((16,), -0.5).double())
    above = eigenvalues.imag[eigenvalues.imag > 0].sort().values
    torch.testing.assert_close(rates("legs", 16).imag.sort().values, above)


def test_drawn_rates_are_each_channels_own_and_in_the_band_of_the_even_ones():
    torch.manual_seed(0)
    cell = S4D(64, state=32, init="rand")
    damping, frequency = cell.a_log.exp().detach(), cell.frequency.detach()
    assert damping.unique().numel() > 1000
    assert 0.999e-3 < damping.min() < damping.max() < 1
    assert abs(damping.mean() - 0.5) < 0.05
    assert 0 <= frequency.min() < frequency.max() < 16 * math.pi
    assert abs(frequency.mean() - 8 * math.pi) < 1
    assert rates("lin", 32).imag.max() < 16 * math.pi


@pytest.mark.parametrize("init", ["lin", "rand"])
def test_rates_that_are_not_trained_are_those_of_the_start(init):
    cells = []
    for train_rates in (True, False):
        torch.manual_seed(0)
        cells.append(S4D(3, state=6, init=init, train_rates=train_rates, lr_share=0.5))
    free, held = cells
    assert held.state_dict().keys() == free.state_dict().keys()
    assert set(dict(free.named_parameters())) - set(dict(held.named_parameters())) == {
        "a_log",
        "frequency",
    }
    assert held.slower == {"dt_log": 0.5}
    assert free.slower == {"a_log": 0.5, "frequency": 0.5, "dt_log": 0.5}
    x = torch.randn(1, 5, 3)
    assert torch.equal(held(x)[0], free(x)[0])
    shared = dict(held.named_parameters())
    for model in cells:
        model(x)[0].square().sum().backward()
    for name, parameter in free.named_parameters():
        if name in shared:
            assert torch.equal(shared[name].grad, parameter.grad)
    # a copy of other draws takes over the rates of the one that was saved
    torch.manual_seed(1)
    other = S4D(3, state=6, init=init, train_rates=False)
    other.load_state_dict(held.state_dict())
    assert torch.equal(other(x)[0], held(x)[0])


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 35)])
@pytest.mark.parametrize("init", ["legs", "rand"])
def test_s4d_is_a_convolution_with_the_kernel_of_its_paper(init, rows, length):
    torch.manual_seed(0)
    cell = S4D(3, state=6, init=init, train_rates=False).double()
    x = torch.randn(rows, length, 3).double()
    a = torch.complex(-cell.a_log.exp(), cell.frequency)
    step = cell.dt_log.exp()[:, None] * a
    c = torch.view_as_complex(cell.read) * (step.exp() - 1) / a
    kernel = 2 * torch.einsum("wn,wnl->wl", c, (step[..., None] * torch.arange(length)).exp()).real
    read = torch.stack(
        [sum(kernel[:, lag] * x[:, t - lag] for lag in range(t + 1)) for t in range(length)], 1
    )
    wanted = nn.functional.glu(cell.output(nn.functional.gelu(read + cell.skip * x)), -1)
    torch.testing.assert_close(cell(x)[0], wanted)


@pytest.mark.parametrize("rule", ["zoh", "bilinear"])
def test_small_steps_approach_the_differential_equation(rule):
    a = torch.tensor([-0.5 + 3j, -2.0 + 0j], dtype=torch.complex128)
    errors = []
    for steps in (50, 100):
        dt = torch.tensor(1.0 / steps, dtype=torch.float64)
        factor, write = discretise(a, dt, rule)
        m = torch.zeros_like(a)
        for _ in range(steps):
            m = factor * m + write  # a constant input of one
        errors.append((m - torch.expm1(a) / a).abs().max().item())
    if rule == "zoh":
        assert max(errors) < 1e-12  # exact for a held input
    else:
        assert 3.5 < errors[0] / errors[1] < 4.5  # second order


def test_half_the_step_reads_a_signal_of_twice_the_rate_alike():
    torch.manual_seed(0)
    cell = S4D(2, state=8, dt_min=0.02, dt_max=0.05).double()
    nn.init.zeros_(cell.skip)
    time = torch.linspace(0, 8 * math.pi, 401, dtype=torch.float64)
    slow = torch.stack([time.sin(), (0.6 * time).cos()], -1)[None]
    fine = torch.linspace(0, 8 * math.pi, 801, dtype=torch.float64)
    fast = torch.stack([fine.sin(), (0.6 * fine).cos()], -1)[None]
    with torch.no_grad():
        coarse = cell(slow)[0]
        cell.dt_log.sub_(math.log(2))
        close = cell(fast)[0][:, ::2]
        cell.dt_log.add_(math.log(2))
        wrong = cell(fast)[0][:, ::2]
    size = coarse.std()
    assert (close - coarse).abs().max() < 0.1 * size
    assert (wrong - coarse).abs().max() > 0.3 * size


@pytest.mark.parametrize("cell", [S4D, LSSL])
def test_no_training_makes_it_unstable(cell):
    torch.manual_seed(0)
    model = cell(4, state=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        (-model(torch.randn(2, 9, 4))[0].square().mean()).backward()
        optimiser.step()
    factor = model._system()[0]
    size = factor.abs() if cell is S4D else torch.linalg.eigvals(factor).abs()
    assert size.max() <= 1 + 1e-5


def test_states_come_in_pairs():
    with pytest.raises(ArchitectureError, match="state 7 is odd"):
        S4D(4, state=7)


@pytest.mark.parametrize("init", ["legs", "legt"])
def test_a_fixed_lssl_has_no_matrix_to_train(init):
    fixed = LSSL(4, state=6, init=init, train_matrix=False)
    assert "skew" not in dict(fixed.named_parameters())
    torch.testing.assert_close(fixed.matrix, LSSL(4, state=6, init=init).matrix)


def test_lssl_is_the_trapezium_rule():
    torch.manual_seed(0)
    cell = LSSL(3, state=5).double()
    factor, write = cell._system()
    for channel, dt in enumerate(cell.dt_log.exp()):
        inverse = torch.linalg.inv(torch.eye(5) - dt / 2 * cell.matrix)
        torch.testing.assert_close(factor[channel], inverse @ (torch.eye(5) + dt / 2 * cell.matrix))
        torch.testing.assert_close(write[channel], dt * inverse @ cell.write)


@pytest.mark.parametrize(("order", "within"), [(12, 0.02), (24, 0.05)])
def test_the_window_memory_reads_out_every_delay(order, within):
    """A two-tone signal comes back from the coefficients at any delay of up to theta steps.

    The target lies half a step later, since the input is held over each step.
    """
    theta, steps = 100, 600
    time = torch.arange(steps).double()
    signal = (2 * math.pi * time / 80).sin() + (2 * math.pi * time / 47).cos()
    matrix, write = hippo.sliding_window(order, theta)
    states = window_memory(signal[None, :, None], matrix, write, torch.zeros(1, 1, order).double())[
        0, :, 0
    ]
    for delay in (0, 25, 50, 75, 100):
        degrees = np.polynomial.legendre.legvander(np.array([2 * delay / theta - 1]), order - 1)
        read = states @ torch.from_numpy(degrees[0])
        wanted = 0.5 * (signal.roll(delay) + signal.roll(delay - 1))
        error = (read - wanted)[200:-1].square().mean().sqrt().item()
        assert error < within, (delay, error)


def test_too_few_coefficients_lose_the_signal():
    theta, time = 100, torch.arange(600).double()
    signal = (2 * math.pi * time / 80).sin() + (2 * math.pi * time / 47).cos()
    matrix, write = hippo.sliding_window(4, theta)
    states = window_memory(signal[None, :, None], matrix, write, torch.zeros(1, 1, 4).double())
    read = states[0, :, 0] @ torch.from_numpy(np.polynomial.legendre.legvander([0.0], 3)[0])
    error = (read - signal.roll(50))[200:].square().mean().sqrt().item()
    assert error > 0.1


@pytest.mark.parametrize("theta", [1.0, 16.0, 1000.0])
@pytest.mark.parametrize("order", [1, 8, 32])
def test_the_window_memory_is_stable(order, theta):
    matrix, _ = hippo.sliding_window(order, theta)
    assert torch.linalg.eigvals(matrix).abs().max() < 1


def small_lmu(learn, **options):
    torch.manual_seed(0)
    given = {"order": 7, "theta": 9.0, "channels": 2, **options}
    return LMU(5, learn=learn, **given).double()


@pytest.mark.parametrize("order", [1, 4, 9])
def test_the_window_is_the_legt_matrix_in_another_basis(order):
    skew, damping, _ = hippo.legt_factors(order)
    basis = hippo.legendre_basis(order)
    matrix, write = hippo.delay(order)
    changed = basis[:, None] * (skew - damping @ damping.mT) / basis
    torch.testing.assert_close(changed, matrix, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(write / basis, (2 * torch.arange(order).double() + 1).sqrt())


@pytest.mark.parametrize("form", ["parallel", "recurrent"])
@pytest.mark.parametrize("learn", ["theta", "matrix"])
def test_a_trained_memory_starts_as_the_fixed_one(learn, form):
    fixed, cell = (small_lmu(kind, form=form) for kind in ("none", learn))
    cell.load_state_dict(fixed.state_dict(), strict=False)
    x = torch.randn(2, 23, 5).double()
    # the fixed one was rounded to single precision
    torch.testing.assert_close(cell(x)[0], fixed(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (2, 19)])
def test_the_gradient_of_the_window_is_that_of_windows_beside_it(rows, length):
    cell, x = small_lmu("theta"), torch.randn(rows, length, 5).double()
    weight = torch.randn(rows, length, 5).double()
    (gradient,) = torch.autograd.grad((cell(x)[0] * weight).sum(), cell.window.theta_log)
    beside = []
    for log in (math.log(9) - 1e-5, math.log(9) + 1e-5):
        matrix, write = hippo.sliding_window(7, math.exp(log))
        u = cell.encode(x).relu()
        found = window_memory(u, matrix, write, cell.initial_state(rows)[0]).flatten(-2)
        y = cell.hidden(torch.cat([found, x], -1)).relu()
        beside.append((y * weight).sum().item())
    assert gradient.item() == pytest.approx((beside[1] - beside[0]) / 2e-5, rel=1e-4)


def test_the_gradient_of_the_matrix_is_that_of_its_series():
    """exp by its power series, of the same S and P, after they moved."""
    cell, x = small_lmu("matrix"), torch.randn(2, 5, 5).double()
    trained = cell.window
    with torch.no_grad():
        for part in trained.parameters():
            part.add_(0.1 * torch.randn_like(part))
    names = list(trained.parameters())
    weight = torch.randn(2, 5, 5).double()
    found = torch.autograd.grad((cell(x)[0] * weight).sum(), names)
    signs = torch.tensor([(-1.0) ** n * (2 * n + 1) ** 0.5 for n in range(7)]).double()
    skew = (trained.skew - trained.skew.T) / 2
    inner = skew - sum(torch.outer(column, column) for column in trained.damping.T)
    change = torch.diag(signs) @ inner @ torch.diag(1 / signs) / 9
    power, total, added = torch.eye(7).double(), 0.0, 0.0
    for degree in range(1, 80):
        total, added = total + power, added + power / degree
        power = power @ change / degree
    memory, wanted = torch.zeros(2, 2, 7).double(), 0
    for t in range(5):
        u = cell.encode(x[:, t]).relu()
        # the integral of exp over the step, times what is written
        memory = memory @ total.T + u[..., None] * (added @ (signs * trained.write / 9))
        y = cell.hidden(torch.cat([memory.flatten(1), x[:, t]], -1)).relu()
        wanted = wanted + (y * weight[:, t]).sum()
    for got, want in zip(found, torch.autograd.grad(wanted, names), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("learn", ["theta", "matrix"])
def test_no_training_makes_a_trained_window_unstable(learn):
    cell = small_lmu(learn).float()
    optimiser = torch.optim.Adam(cell.parameters(), lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        (-cell(torch.randn(2, 9, 5))[1][0].square().mean()).backward()
        optimiser.step()
    matrix = cell._system()[0].detach().double()
    assert torch.linalg.eigvals(matrix).abs().max() <= 1 + 1e-5
    basis = hippo.legendre_basis(7)
    if learn == "matrix":
        assert torch.linalg.matrix_norm(matrix * basis / basis[:, None], 2) <= 1 + 1e-5


def test_what_lies_beyond_the_window_makes_it_longer():
    """The best read-out of a delay of 20 steps is better where the window is longer than 12."""
    cell = small_lmu("theta", theta=12.0, order=8)
    time = torch.arange(400).double()
    signal = (2 * math.pi * time / 41).sin() + (2 * math.pi * time / 67).cos()
    matrix, write = cell._system()
    states = window_memory(signal[None, :, None], matrix, write, torch.zeros(1, 1, 8).double())
    states, wanted = states[0, 100:, 0], signal.roll(20)[100:]
    with torch.no_grad():
        best = torch.linalg.lstsq(states, wanted[:, None]).solution
    error = (states @ best - wanted[:, None]).square().mean()
    (gradient,) = torch.autograd.grad(error, cell.window.theta_log)
    assert gradient.item() < 0


def test_the_recurrent_form_without_feedback_remembers_as_the_parallel_one():
    torch.manual_seed(0)
    fed, plain = LMU(6, form="recurrent").double(), LMU(6).double()
    x = torch.randn(2, 40, 6).double().abs()
    with torch.no_grad():
        fed.encode.weight[:, 6:] = 0
        fed.encode.weight.abs_()  # then relu passes everything
        plain.encode.weight.copy_(fed.encode.weight[:, :6])
        plain.encode.bias.zero_()
        torch.testing.assert_close(fed(x)[1][0], plain(x)[1][0])


def test_the_recurrent_form_starts_without_its_memory_in_its_input():
    cell = LMU(6, form="recurrent")
    assert not cell.echo.weight.any()
    assert cell.encode.weight.abs().max() <= (3 / 12) ** 0.5
