"""The recurrent cells against torch's own, and what their starts promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rnn import RNN

WIDTH = 11


def copy_weights(cell, oracle, biases):
    with torch.no_grad():
        oracle.weight_ih_l0.copy_(cell.input.weight)
        oracle.weight_hh_l0.copy_(cell.recurrent.weight)
        oracle.bias_ih_l0.copy_(cell.input.bias)
        oracle.bias_hh_l0.copy_(biases)


def assert_equal(cell, oracle, state):
    x = torch.randn(3, 29, WIDTH)
    got, after = cell(x, state)
    given = tuple(part[None] for part in state)
    want, left = oracle(x, given if len(given) > 1 else given[0])
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    left = left if isinstance(left, tuple) else (left,)
    for part, expected in zip(after, left, strict=True):
        torch.testing.assert_close(part, expected[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_rnn_is_torch_rnn(activation):
    torch.manual_seed(0)
    cell = RNN(WIDTH, activation=activation)
    oracle = nn.RNN(WIDTH, WIDTH, nonlinearity=activation, batch_first=True)
    copy_weights(cell, oracle, torch.zeros(WIDTH))
    assert_equal(cell, oracle, (torch.randn(3, WIDTH),))


def test_lstm_is_torch_lstm():
    torch.manual_seed(0)
    cell, oracle = LSTM(WIDTH), nn.LSTM(WIDTH, WIDTH, batch_first=True)
    nn.init.normal_(cell.input.bias)
    copy_weights(cell, oracle, torch.zeros(4 * WIDTH))
    assert_equal(cell, oracle, (torch.randn(3, WIDTH), torch.randn(3, WIDTH)))


def test_gru_is_torch_gru():
    torch.manual_seed(0)
    cell, oracle = GRU(WIDTH), nn.GRU(WIDTH, WIDTH, batch_first=True)
    nn.init.normal_(cell.input.bias)
    nn.init.normal_(cell.candidate_bias)
    biases = torch.cat([torch.zeros(2 * WIDTH), cell.candidate_bias.detach()])
    copy_weights(cell, oracle, biases)
    assert_equal(cell, oracle, (torch.randn(3, WIDTH),))


def test_the_two_resets_agree_where_the_gate_is_open_and_differ_elsewhere():
    torch.manual_seed(0)
    after = GRU(WIDTH, reset="after")
    before = GRU(WIDTH, reset="before")
    before.load_state_dict(after.state_dict(), strict=False)
    x = torch.randn(2, 9, WIDTH)
    assert not torch.allclose(after(x)[0], before(x)[0])
    for cell in (after, before):
        nn.init.constant_(cell.input.bias[:WIDTH], 40.0)
    torch.testing.assert_close(after(x)[0], before(x)[0])


def test_an_open_forget_gate_keeps_the_memory():
    cell = LSTM(WIDTH, forget_bias=60.0)
    with torch.no_grad():
        cell.input.bias[:WIDTH] = -60.0
        c = torch.randn(2, WIDTH)
        _, (_, kept) = cell(torch.randn(2, 500, WIDTH), (torch.zeros(2, WIDTH), c))
    torch.testing.assert_close(kept, c)


def test_an_update_bias_keeps_the_state():
    torch.manual_seed(0)
    h, x = torch.ones(4, WIDTH), torch.randn(4, 3, WIDTH)
    kept = [GRU(WIDTH, update_bias=bias)(x, (h,))[1][0] for bias in (-5.0, 1.0, 10.0)]
    moved = [(part - h).abs().mean().item() for part in kept]
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 1e-3


def test_identity_start_holds_a_non_negative_state_for_ever():
    cell = RNN(WIDTH, activation="relu", init="identity")
    h = torch.rand(2, WIDTH)
    with torch.no_grad():
        _, (kept,) = cell(torch.zeros(2, 1000, WIDTH), (h,))
    assert torch.equal(kept, h)


def test_a_clipped_gelu_bounds_a_state_that_grows():
    cell = RNN(WIDTH, activation="gelu", init="identity", scale=1.5)
    x = torch.zeros(2, 100, WIDTH)
    with torch.no_grad():
        y, (h,) = cell(x, (torch.full((2, WIDTH), 3.0),))
        cell.activation = "relu"
        free, _ = cell(x, (torch.full((2, WIDTH), 3.0),))
    assert torch.equal(h, torch.full_like(h, 10.0))
    assert y[:, 0].max() < 5
    assert free[:, -1].min() > 1e10


def test_orthogonal_starts_are_orthogonal_per_gate():
    for cell, gates in ((RNN(WIDTH), 1), (GRU(WIDTH), 3), (LSTM(WIDTH), 4)):
        for matrix in cell.recurrent.weight.chunk(gates):
            torch.testing.assert_close(matrix @ matrix.t(), torch.eye(WIDTH), rtol=0, atol=1e-5)
