"""A recurrent network on a fixed sparse graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.recurrences.vanilla import activated, vanilla

REWIRED = 0.1


class SparseRNN(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b), y_t = h_t, where every row of U has k weights.

    k = ``density`` times the width, rounded, at least one. Which units a unit hears is drawn once
    and never changes: k at random, or in the small world of Watts & Strogatz 1998 its k nearest
    on a ring (itself included), each replaced by one at random with probability 0.1. The weights
    that are there, (W, k), start at N(0, 1/k), so that the spectral radius is near one; those
    that are not there are no parameters. phi is tanh or relu, which bounds no state: its weights
    start divided by the spectral radius where that is above one. State: h (B, W).
    """

    state_matrices = frozenset({"weight"})

    def __init__(
        self,
        width: int,
        density: float = 0.25,
        graph: str = "random",
        activation: str = "tanh",
    ) -> None:
        super().__init__(width)
        self.activation = activation
        self.input = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        heard = min(max(round(density * width), 1), width)
        self.sources: Tensor
        self.register_buffer("sources", _drawn(width, heard, graph == "small_world"))
        self.weight = nn.Parameter(torch.empty(width, heard).normal_(std=heard**-0.5))
        if activation == "relu":
            with torch.no_grad():
                radius = torch.linalg.eigvals(self.matrix).abs().max()
                self.weight.div_(radius.clamp_min(1.0))

    @property
    def matrix(self) -> Tensor:
        """U (W, W)."""
        return self.zeros(self.width, self.width).scatter(1, self.sources, self.weight)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        driven = self.input(x.transpose(0, 1))  # (T, B, W): one product for all positions
        states, h = vanilla(driven, h, self.matrix.t(), None, self.activation)
        return states, (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        heard = (h[:, self.sources] * self.weight).sum(-1)  # (B, W, k) before the sum
        h = activated(self.input(x) + heard, self.activation)
        return h, (h,)


def _drawn(width: int, heard: int, ring: bool) -> Tensor:
    """The units that each unit hears, (W, k) in rising order, without repetition."""
    score = torch.rand(width, width)
    if ring:
        units = torch.arange(width)
        ahead = (units - units[:, None] + heard // 2) % width
        kept = torch.rand(width, width) >= REWIRED
        # neighbours that stay come first, those that are replaced last
        score = torch.where(ahead < heard, torch.where(kept, 2.0, -1.0), score)
    return score.topk(heard, dim=1).indices.sort(1).values
