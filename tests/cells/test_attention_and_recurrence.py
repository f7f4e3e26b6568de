"""Attention in a recurrent cell, and a recurrent cell in attention: what each comes to."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from archsearch.cells.attention.attention import Attention
from archsearch.cells.recurrent.attentive_rnn import AttentiveRNN
from archsearch.cells.recurrent.bidirectional import INNER
from archsearch.cells.recurrent.declared import CELLS
from archsearch.cells.recurrent.recurrent_attention import RecurrentAttention
from archsearch.cells.recurrent.rnn import RNN
from archsearch.testing.cells import CellContract
from archsearch.testing.states import flatten

DECLARED = {entry.name: entry for entry in CELLS}
WIDTH = 8


def core_parameters(core: str, width: int) -> int:
    return {
        "gru": 3 * width * (2 * width + 1) + width,
        "lstm": 4 * width * (2 * width + 1),
        "rnn": width * (2 * width + 1),
        "rhn": 2 * width * (3 * width + 2),
    }[core]


class TestAttentiveRNN(CellContract):
    cell_type = DECLARED["attentive_rnn"]

    def parameters(self, width, options):
        attention = 5 * width * width + options["heads"] * options["window"]
        return core_parameters(options["core"], width) + attention


class TestRecurrentAttention(CellContract):
    cell_type = DECLARED["recurrent_attention"]

    def parameters(self, width, options):
        return core_parameters(options["core"], width) + 4 * width * width


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


def by_hand(cell: AttentiveRNN, x: Tensor) -> Tensor:
    """The equations, one row, head and distance at a time."""
    state = cell.core.initial_state(1)
    of_query, of_key, of_value = cell.seen.weight.chunk(3)
    size = cell.width // cell.heads
    outputs: list[Tensor] = []
    for t, x_t in enumerate(x):
        heard = torch.zeros(cell.width, dtype=x.dtype)
        for head in range(cell.heads if outputs else 0):
            part = slice(head * size, (head + 1) * size)
            query = (cell.query.weight @ x_t + of_query @ outputs[-1])[part]
            weights, values = [], []
            for distance in range(1, min(t, cell.window) + 1):
                h = outputs[t - distance]
                score = query @ (of_key @ h)[part] / math.sqrt(size)
                weights.append(torch.exp(score + cell.bias[head, cell.window - distance]))
                values.append((of_value @ h)[part])
            total = sum(weights)
            for weight, value in zip(weights, values, strict=True):
                heard[part] += weight / total * value
        y, state = cell.core.step((x_t + cell.output.weight @ heard)[None], state)
        outputs.append(y[0])
    return torch.stack(outputs)


@pytest.mark.parametrize("core", INNER)
def test_it_is_what_its_equations_say(core: str) -> None:
    cell = AttentiveRNN(WIDTH, core, window=3, heads=2).double()
    with torch.no_grad():
        cell.bias.normal_()
        x = torch.randn(2, 9, WIDTH, dtype=torch.float64)
        y, _ = cell(x)
        for row in range(2):
            torch.testing.assert_close(y[row], by_hand(cell, x[row]), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("core", INNER)
def test_without_what_attention_says_it_is_the_core(core: str) -> None:
    cell = AttentiveRNN(WIDTH, core, window=4, heads=2).double()
    torch.nn.init.zeros_(cell.output.weight)
    x = torch.randn(3, 11, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], cell.core(x)[0], rtol=1e-9, atol=1e-10)


def test_a_window_of_one_is_a_recurrent_matrix() -> None:
    cell = AttentiveRNN(WIDTH, "rnn", window=1, heads=2).double()
    core, plain = cell.core, RNN(WIDTH).double()
    assert isinstance(core, RNN)
    plain.load_state_dict(core.state_dict())
    with torch.no_grad():
        value = cell.seen.weight[2 * WIDTH :]
        plain.recurrent.weight += core.input.weight @ cell.output.weight @ value
    x = torch.randn(3, 11, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], plain(x)[0], rtol=1e-9, atol=1e-10)


def test_its_state_is_bounded_by_the_window() -> None:
    cell = AttentiveRNN(WIDTH, "rnn", window=5, heads=2)
    x = torch.randn(1, 40, WIDTH)
    sizes = []
    for length in (1, 5, 40):
        sizes.append(sum(part.numel() for part in flatten(cell(x[:, :length])[1])))
    assert sizes == [WIDTH + WIDTH + 2 * WIDTH * count for count in (1, 5, 5)]


def test_recurrent_attention_is_the_two_in_a_row() -> None:
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    for place in ("before", "after"):
        cell = RecurrentAttention(WIDTH, place=place, heads=2).double()
        first, second = (cell.core, cell.attention)[:: 1 if place == "before" else -1]
        assert torch.equal(cell(x)[0], second(first(x)[0])[0])


def test_a_core_that_says_what_it_hears_leaves_attention() -> None:
    cell = RecurrentAttention(WIDTH, "rnn", heads=2).double()
    known = Attention(WIDTH, heads=2).double()
    known.load_state_dict(cell.attention.state_dict())
    with torch.no_grad():
        cell.core.recurrent.weight.zero_()
        cell.core.input.weight.copy_(1e-4 * torch.eye(WIDTH))
    x = torch.randn(2, 7, WIDTH, dtype=torch.float64)
    # tanh is the identity for small numbers, and attention then weighs all positions alike
    small = known(1e-4 * x)[0]
    torch.testing.assert_close(cell(x)[0], small, rtol=1e-6, atol=1e-11)
