"""Loops over parts of a sequence: who is in which, who sees whom, and streams of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.depth.loops import FixedDepth
from archsearch.depth.sliced import Sliced

WIDTH = 1


class Summing(nn.Module):
    """The running sum: it shows which positions are one sequence."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(1)

    def initial_state(self, batch: int) -> tuple[torch.Tensor]:
        return (torch.zeros(batch, WIDTH),)

    def step(
        self, x_t: torch.Tensor, state: tuple[torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        return x_t + state[0], (x_t + state[0],)


def tie(slices: int, loops: int = 2) -> Sliced:
    torch.manual_seed(0)
    made = Sliced(Summing(), WIDTH, loops, slices)
    # the perceptron is silent
    made.shares.data[:, 1].zero_()
    return made


def test_even_loops_see_slices_and_odd_ones_a_step_of_each() -> None:
    # a power of two for each step tells which were added
    x = 2.0 ** torch.arange(11)[None, :, None]
    with torch.no_grad():
        slices = tie(3)(x, 0, x).flatten().long().tolist()
        strewn = tie(3)(x, 1, x).flatten().long().tolist()

    def seen(total: int) -> list[int]:
        return [step for step in range(11) if total >> step & 1]

    assert [seen(total) for total in slices] == [
        [0], [0, 1], [0, 1, 2], [3], [3, 4], [3, 4, 5], [6], [6, 7], [6, 7, 8], [9], [9, 10],
    ]  # fmt: skip
    # group i + j modulo 3: steps 0, 5, 7, 9 are of the first
    assert [seen(total) for total in strewn] == [
        [0], [1], [2], [1, 3], [2, 4], [0, 5], [2, 4, 6], [0, 5, 7], [1, 3, 8], [0, 5, 7, 9],
        [1, 3, 8, 10],
    ]  # fmt: skip


@pytest.mark.parametrize("slices", [1, 2, 3, 8])
@pytest.mark.parametrize("time", [1, 7, 9])
def test_a_stream_equals_the_whole(slices: int, time: int) -> None:
    torch.manual_seed(1)
    depth = FixedDepth(Sliced(Summing(), WIDTH, 3, slices), WIDTH, 5).eval()
    x = torch.randn(2, time, WIDTH)
    with torch.no_grad():
        whole, _ = depth(x)
        state = depth.initial_state(2)
        for t in range(time):
            y_t, state = depth.step(x[:, t], state)
            torch.testing.assert_close(y_t, whole[:, t], rtol=1e-4, atol=1e-5)


def test_two_loops_reach_further_than_a_slice() -> None:
    depth = FixedDepth(tie(4), WIDTH, 2)
    x = torch.zeros(1, 16, WIDTH, requires_grad=True)
    depth(x)[0][0, 15].sum().backward()
    assert x.grad.flatten().nonzero().flatten().min() < 12
