"""The bidirectional cell against torch's, and how it behaves when time runs backwards."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.cells.recurrent.bidirectional import INNER, Bidirectional
from archsearch.errors import ArchitectureError

WIDTH = 8


def fill(oracle, suffix, cell, project):
    with torch.no_grad():
        getattr(oracle, f"weight_ih_l0{suffix}").copy_(cell.input.weight @ project)
        getattr(oracle, f"weight_hh_l0{suffix}").copy_(cell.recurrent.weight)
        getattr(oracle, f"bias_ih_l0{suffix}").copy_(cell.input.bias)
        getattr(oracle, f"bias_hh_l0{suffix}").zero_()


@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_it_is_the_bidirectional_lstm_of_torch(merge):
    torch.manual_seed(0)
    cell = Bidirectional(WIDTH, inner="lstm", merge=merge)
    size = WIDTH // 2 if merge == "concat" else WIDTH
    oracle = nn.LSTM(WIDTH, size, batch_first=True, bidirectional=True)
    own = [torch.eye(WIDTH)] * 2 if merge == "sum" else cell.halves.weight.chunk(2)
    fill(oracle, "", cell.ahead, own[0])
    fill(oracle, "_reverse", cell.back, own[1])
    x = torch.randn(3, 17, WIDTH)
    wanted, _ = oracle(x)
    if merge == "sum":
        wanted = wanted[..., :WIDTH] + wanted[..., WIDTH:]
    torch.testing.assert_close(cell(x)[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inner", INNER)
def test_backwards_in_time_the_two_cells_change_places(inner):
    torch.manual_seed(0)
    cell = Bidirectional(WIDTH, inner=inner, merge="sum")
    mirrored = Bidirectional(WIDTH, inner=inner, merge="sum")
    mirrored.ahead.load_state_dict(cell.back.state_dict())
    mirrored.back.load_state_dict(cell.ahead.state_dict())
    x = torch.randn(2, 11, WIDTH)
    torch.testing.assert_close(mirrored(x.flip(1))[0].flip(1), cell(x)[0])


def test_every_output_sees_every_input():
    torch.manual_seed(0)
    cell, x = Bidirectional(WIDTH).double(), torch.randn(1, 6, WIDTH, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda given: cell(given)[0].sum((0, 2)), x)
    assert jacobian.abs().sum(-1).all()


def test_what_it_cannot_do_is_said():
    with pytest.raises(ArchitectureError, match="take an even width or merge 'sum'"):
        Bidirectional(7)
    cell = Bidirectional(7, merge="sum")
    with pytest.raises(ArchitectureError, match="no step"):
        cell.step(torch.randn(1, 7), cell.initial_state(1))
