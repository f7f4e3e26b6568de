"""Leaky units and differential equations: exact solutions, orders, time constants."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

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
