"""The variants of the LSTM: each against its equations, and as a case of the plain one."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rnn import RNN

WIDTH = 7


def by_hand(cell, x):
    """The equations of Greff et al. 2015, one position at a time."""
    h = c = x.new_zeros(len(x), WIDTH)
    outputs = []
    for x_t in x.unbind(1):
        drives = x_t @ cell.input.weight.t() + cell.input.bias + h @ cell.recurrent.weight.t()
        given = dict(zip(cell.gates, drives.split(WIDTH, -1), strict=True))
        seen = cell.peepholes
        if "i" in seen:
            given["i"] = given["i"] + seen["i"] * c
        if "f" in seen:
            given["f"] = given["f"] + seen["f"] * c
        f = given["f"].sigmoid() if "f" in given else torch.ones_like(c)
        i = given["i"].sigmoid() if "i" in given else 1 - f
        c = f * c + i * given["g"].tanh()
        if "o" in seen:
            given["o"] = given["o"] + seen["o"] * c
        h = given["o"].sigmoid() * (c.tanh() if cell.squash else c)
        outputs.append(h)
    return torch.stack(outputs, 1)


@pytest.mark.parametrize("forget", ["own", "coupled", "none"])
@pytest.mark.parametrize("peephole", [False, True])
@pytest.mark.parametrize("squash", [False, True])
def test_every_variant_follows_its_equations(forget, peephole, squash):
    torch.manual_seed(0)
    cell = LSTM(WIDTH, forget=forget, peephole=peephole, squash=squash).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(3, 11, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], by_hand(cell, x))


def test_peepholes_at_zero_change_nothing():
    torch.manual_seed(0)
    plain = LSTM(WIDTH).double()
    seeing = LSTM(WIDTH, peephole=True).double()
    assert set(seeing.peepholes) == {"i", "f", "o"}
    seeing.load_state_dict(plain.state_dict(), strict=False)
    x = torch.randn(2, 13, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(seeing(x)[0], plain(x)[0])


def test_a_coupled_gate_that_forgets_nothing_takes_nothing_in():
    cell = LSTM(WIDTH, forget="coupled", forget_bias=60.0)
    c = torch.randn(2, WIDTH)
    with torch.no_grad():
        _, (_, kept) = cell(torch.randn(2, 500, WIDTH), (torch.zeros(2, WIDTH), c))
    torch.testing.assert_close(kept, c)


def test_without_a_forget_gate_the_memory_is_a_sum():
    cell = LSTM(WIDTH, forget="none")
    with torch.no_grad():
        cell.input.bias[:WIDTH] = -60.0
        c = torch.randn(2, WIDTH)
        _, (_, kept) = cell(torch.randn(2, 500, WIDTH), (torch.zeros(2, WIDTH), c))
    torch.testing.assert_close(kept, c)


def test_a_chrono_start_spans_times_up_to_the_longest():
    torch.manual_seed(0)
    cell = LSTM(512, start="chrono", longest=1000)
    i, f, g, o = cell.input.bias.detach().split(512)
    spans = f.exp()
    assert spans.min() >= 1
    assert spans.max() <= 999
    # uniform: the mean of 512 draws is within four deviations of the middle
    assert abs(spans.mean() - 500) < 4 * 998 / (12 * 512) ** 0.5
    assert torch.equal(i, -f)
    assert not g.any()
    assert not o.any()
    coupled = LSTM(512, forget="coupled", start="chrono", longest=50)
    assert 45 < coupled.input.bias[:512].exp().max() <= 49


def test_a_scaled_identity_start_is_scaled():
    cell = RNN(WIDTH, activation="relu", init="identity", scale=0.8)
    torch.testing.assert_close(cell.recurrent.weight.detach(), 0.8 * torch.eye(WIDTH))
