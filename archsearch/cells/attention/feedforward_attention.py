"""A feed-forward net over all positions at once, in the place of attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.errors import InputError


class FeedforwardAttention(Cell):
    """y_t = B_t relu(a + sum_{j <= t} A_j x_j) + b_t with matrices A_j, B_t for every position.

    This is the t-th block of what a net of one hidden layer, from ``length`` W inputs over
    ``hidden`` units to ``length`` W outputs, makes of the sequence so far, flattened and filled up
    with zeros: Bozic et al. 2023, arXiv 2311.10642, "attention layer replacement". There, one pass
    sees a whole sentence and learns to imitate a trained attention; here each position asks the
    same net about its own past, so that none sees a later one, and it is trained like any cell.
    What the first layer makes of the past is a running sum, so a step costs no more than another.

    Positions are absolute, and past the last one it was built for there is nothing to say: raises
    InputError. State: the sum (B, hidden) and the position of each row (B,).
    """

    role = "attention"

    def __init__(self, width: int, length: int = 128, hidden: int = 32) -> None:
        super().__init__(width)
        self.length, self.hidden = length, hidden
        inputs, bound = (length * width) ** -0.5, hidden**-0.5
        self.in_taps = nn.Parameter(torch.empty(length, width, hidden).uniform_(-inputs, inputs))
        self.in_bias = nn.Parameter(torch.empty(hidden).uniform_(-inputs, inputs))
        self.out_taps = nn.Parameter(torch.empty(length, hidden, width).uniform_(-bound, bound))
        self.out_bias = nn.Parameter(torch.empty(length * width).uniform_(-bound, bound))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        total, start = self.initial_state(len(x)) if state is None else state
        steps = x.shape[1]
        end = steps + (0 if state is None else int(start.max()))
        if end > self.length:
            raise InputError(
                f"a sequence of at least {end} steps is longer than the {self.length} that"
                " feedforward_attention was built for; give it a larger length"
            )
        # with a state, rows may stand anywhere
        at = start[:, None] + torch.arange(steps, device=x.device)
        at = at[:1] if state is None else at  # (B or 1, T)
        sums = total[:, None] + _through(x, self.in_taps[at]).cumsum(1)  # (B, T, hidden)
        found = _through(torch.relu(sums + self.in_bias), self.out_taps[at])
        return found + self.out_bias.view_as(self.out_taps[:, 0])[at], (sums[:, -1], start + steps)

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, self.hidden), self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state


def _through(x: Tensor, matrices: Tensor) -> Tensor:
    """x (B, T, N) through a matrix of each position, (B or 1, T, N, M)."""
    if len(matrices) == 1:
        return torch.einsum("btn,tnm->btm", x, matrices[0])
    return torch.einsum("btn,btnm->btm", x, matrices)
