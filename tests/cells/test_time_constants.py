"""Leaky units and differential equations: exact solutions, orders, time constants."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.leaky_rnn import LeakyRNN
from archsearch.cells.recurrent.ode import ODECell
from archsearch.cells.recurrent.rnn import RNN

WIDTH = 6


def copied(cell, source):
    cell.load_state_dict(source.state_dict(), strict=False)
    return cell


def test_the_shortest_time_constant_is_a_plain_network():
    torch.manual_seed(0)
    plain = RNN(WIDTH).double()
    leaky = copied(LeakyRNN(WIDTH).double(), plain)
    torch.nn.init.constant_(leaky.tau_log, -50.0)
    x = torch.randn(2, 15, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(leaky(x)[0], plain(x)[0])


@pytest.mark.parametrize("timescales", ["unit", "shared", "fixed"])
def test_a_unit_without_input_decays_by_one_over_tau_a_step(timescales):
    cell = LeakyRNN(WIDTH, timescales=timescales, spread=False, tau=8.0).double()
    for parameter in (*cell.input.parameters(), *cell.recurrent.parameters()):
        torch.nn.init.zeros_(parameter)
    h = torch.ones(1, WIDTH, dtype=torch.float64)
    y, _ = cell(torch.randn(1, 20, WIDTH, dtype=torch.float64), (h,))
    expected = (7 / 8) ** torch.arange(1, 21, dtype=torch.float64)
    torch.testing.assert_close(y[0], expected[:, None].expand(20, WIDTH), rtol=1e-6, atol=0)


def test_time_constants_start_where_they_are_put():
    spread = 1 + LeakyRNN(5, tau=17.0).tau_log.exp()
    torch.testing.assert_close(spread.detach(), torch.tensor([2.0, 3.0, 5.0, 9.0, 17.0]))
    one = LeakyRNN(5, timescales="shared", tau=17.0)
    assert one.tau_log.shape == (1,)
    fixed = LeakyRNN(5, timescales="fixed", tau=17.0)
    assert "tau_log" not in dict(fixed.named_parameters())
    torch.testing.assert_close(1 + fixed.tau_log.exp(), spread.detach())


def test_a_longer_delay_asks_for_a_longer_time_constant():
    """The response to a pulse, t steps on, is largest at tau near t: the gradient knows."""
    slopes = []
    for delay in (1, 30):
        cell = LeakyRNN(1, timescales="shared", tau=6.0).double()
        with torch.no_grad():
            cell.input.weight.fill_(1.0)
            cell.recurrent.weight.zero_()
        x = torch.zeros(1, delay + 1, 1, dtype=torch.float64)
        x[:, 0] = 1.0
        cell(x)[0][0, -1, 0].backward()
        slopes.append(cell.tau_log.grad.item())
    assert slopes[0] < 0 < slopes[1]


def test_one_step_of_euler_is_the_discrete_cell():
    torch.manual_seed(0)
    x = torch.randn(2, 15, WIDTH, dtype=torch.float64)
    gru = GRU(WIDTH, reset="before").double()
    ode = copied(ODECell(WIDTH, solver="euler").double(), gru)
    torch.testing.assert_close(ode(x)[0], gru(x)[0])
    leaky = LeakyRNN(WIDTH).double()
    ode = copied(ODECell(WIDTH, field="leaky", solver="euler").double(), leaky)
    torch.testing.assert_close(ode(x)[0], leaky(x)[0])


def errors(solver):
    """Of h' = -h / tau over one unit of time, for 4, 8 and 16 steps of the solver."""
    found = []
    for substeps in (4, 8, 16):
        cell = ODECell(1, field="leaky", solver=solver, substeps=substeps).double()
        with torch.no_grad():
            for parameter in (*cell.input.parameters(), *cell.recurrent.parameters()):
                parameter.zero_()
            one = torch.ones(1, 1, dtype=torch.float64)
            h, _ = cell.step(one, (one,))
        found.append(abs(h.item() - math.exp(-1 / 2)))
    return found


@pytest.mark.parametrize(("solver", "order", "first"), [("euler", 1, 0.03), ("rk4", 4, 3e-6)])
def test_the_solvers_have_their_orders(solver, order, first):
    found = errors(solver)
    assert found[0] < first
    for coarse, fine in pairwise(found):
        assert coarse / fine == pytest.approx(2**order, rel=0.15)


@pytest.mark.parametrize("tau", [1.5, 5.0])
def test_the_state_of_an_undriven_unit_dies_with_its_time_constant(tau):
    cell = ODECell(2, field="leaky", tau=tau, substeps=2).double()
    with torch.no_grad():
        for parameter in (*cell.input.parameters(), *cell.recurrent.parameters()):
            parameter.zero_()
        h = torch.tensor([[1.0, -2.0]]).double()
        y = cell(torch.randn(1, 7, 2).double(), (h,))[0]
    expected = h * torch.exp(-torch.arange(1, 8).double()[:, None] / tau)
    torch.testing.assert_close(y[0], expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("field", ["gru", "leaky"])
def test_it_goes_where_an_adaptive_solver_goes(field):
    """SciPy's Dormand-Prince pair at small tolerances, on inputs that are held for one unit."""
    torch.manual_seed(0)
    size, length = 3, 4
    options = {"tau": 3.0} if field == "leaky" else {}
    cell = ODECell(size, field=field, substeps=8, **options).double()
    w, b, u = (
        part.detach().numpy()
        for part in (cell.input.weight, cell.input.bias, cell.recurrent.weight)
    )
    x = torch.randn(1, length, size).double()

    def logistic(a):
        return 1 / (1 + np.exp(-a))

    def slope(given):
        driven = w @ given + b
        if field == "leaky":
            return lambda _, h: (np.tanh(driven + u @ h) - h) / 3

        def gated(_, h):
            heard = u[: 2 * size] @ h
            r, z = logistic(driven[: 2 * size] + heard).reshape(2, size)
            return (1 - z) * (np.tanh(driven[2 * size :] + u[2 * size :] @ (r * h)) - h)

        return gated

    h, states = np.zeros(size), []
    for given in x[0].numpy():
        h = solve_ivp(slope(given), (0, 1), h, rtol=1e-10, atol=1e-12).y[:, -1]
        states.append(torch.from_numpy(h))
    torch.testing.assert_close(cell(x)[0][0], torch.stack(states), rtol=1e-5, atol=1e-6)
