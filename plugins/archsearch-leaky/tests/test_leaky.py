"""The leaky cell keeps the contract of every cell, and leaks at the rates it starts with."""

import torch
from archsearch_leaky.declared import LEAKY
from archsearch_leaky.leaky import Leaky

from archsearch.testing.cells import CellContract


class TestLeaky(CellContract):
    cell_type = LEAKY

    def parameters(self, width, _options):
        return width * (2 * width + 2)


def test_time_constants_start_from_two_to_the_slowest():
    tau = 1 + Leaky(5, slowest=17.0).tau_log.exp()
    torch.testing.assert_close(tau, torch.tensor([2.0, 3.0, 5.0, 9.0, 17.0]))


def test_without_input_a_unit_decays_by_its_own_rate():
    cell = Leaky(5, slowest=17.0)
    torch.nn.init.zeros_(cell.recurrent.weight)
    torch.nn.init.zeros_(cell.input.bias)
    _, (left,) = cell(torch.zeros(1, 3, 5), (torch.ones(1, 5),))
    expected = (1 - 1 / torch.tensor([[2.0, 3.0, 5.0, 9.0, 17.0]])) ** 3
    torch.testing.assert_close(left, expected)
