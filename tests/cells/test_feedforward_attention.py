"""The net in place of attention: the flattened prefix that it reads, its end, and its teacher."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss, pad

from archsearch.cells.attention.attention import Attention
from archsearch.cells.attention.feedforward_attention import FeedforwardAttention
from archsearch.errors import InputError
from archsearch.train.flops import flops


def flat(cell):
    """The same weights as a plain net from (length width) to (length width)."""
    size = cell.length * cell.width
    first, second = nn.Linear(size, cell.hidden).double(), nn.Linear(cell.hidden, size).double()
    with torch.no_grad():
        first.weight.copy_(cell.in_taps.flatten(0, 1).T)
        first.bias.copy_(cell.in_bias)
        second.weight.copy_(cell.out_taps.transpose(1, 2).flatten(0, 1))
        second.bias.copy_(cell.out_bias)
    return nn.Sequential(first, nn.ReLU(), second)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_is_a_plain_net_asked_about_every_prefix(steps):
    torch.manual_seed(0)
    cell = FeedforwardAttention(3, length=7, hidden=5).double()
    net = flat(cell)
    x = torch.randn(2, steps, 3, dtype=torch.float64)
    for t in range(steps):
        prefix = pad(x[:, : t + 1], (0, 0, 0, 7 - t - 1))
        expected = net(prefix.flatten(1)).unflatten(1, (7, 3))[:, t]
        torch.testing.assert_close(cell(x)[0][:, t], expected, rtol=1e-12, atol=1e-13)


def test_rows_may_stand_at_positions_of_their_own():
    torch.manual_seed(0)
    cell = FeedforwardAttention(4, length=30, hidden=6).double()
    x = torch.randn(2, 30, 4, dtype=torch.float64)
    whole, _ = cell(x)
    states = [cell(x[row : row + 1, :begin])[1] for row, begin in ((0, 7), (1, 16))]
    joined = tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    later = torch.stack([x[0, 7:17], x[1, 16:26]])
    torch.testing.assert_close(
        cell(later, joined)[0], torch.stack([whole[0, 7:17], whole[1, 16:26]])
    )


def test_only_the_matrices_of_positions_that_there_are_cost_anything():
    cell = FeedforwardAttention(4, length=30, hidden=6)
    assert flops(cell, torch.randn(1, 11, 4)) == 11 * 2 * (4 * 6 + 6 * 4)


def test_past_its_length_it_says_so():
    cell = FeedforwardAttention(4, length=5)
    cell(torch.randn(1, 5, 4))
    with pytest.raises(InputError, match="at least 6 steps is longer than the 5 that"):
        cell(torch.randn(1, 6, 4))
    state = cell.initial_state(2)
    for _ in range(5):
        _, state = cell.step(torch.randn(2, 4), state)
    with pytest.raises(InputError, match="give it a larger length"):
        cell.step(torch.randn(2, 4), state)


def test_it_can_imitate_an_attention_that_knows_the_order_of_words():
    """Three words of five; what is left of the teacher's variance is under a tenth."""
    torch.manual_seed(0)
    words = torch.randn(5, 8)
    teacher = Attention(8, 2).eval().requires_grad_(False)
    student = FeedforwardAttention(8, length=3, hidden=64)
    optimiser = torch.optim.AdamW(student.parameters(), 1e-2)
    sentences = words[torch.cartesian_prod(*[torch.arange(5)] * 3)]  # all 125
    wanted = teacher(sentences)[0]
    swapped = teacher(sentences[:, [1, 0, 2]])[0][:, 2]
    assert mse_loss(swapped, wanted[:, 2]) > 0.01 * wanted.var(), "the order matters"
    for _ in range(300):
        loss = mse_loss(student(sentences)[0], wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1 * wanted.var().item()
    assert loss.item() < mse_loss(swapped, wanted[:, 2]).item()
