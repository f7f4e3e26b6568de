"""A memory of the latest inputs that a position reads several times, each time asking anew."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.memory.kept_rows import by_stretches, window


class MemoryHops(Cell):
    """u_{k+1} = H u_k + sum_j p_j (C x_j + c_age), p = softmax_j(u_k (A x_j + a_age)), u_1 = B x_t.

    The memories are the latest ``reach`` positions, itself included, told apart by their age
    (Sukhbaatar et al. 2015, arXiv 1503.08895, equations 1 to 4). ``tying`` "layerwise" has A and C
    in common to all ``hops`` and a linear H, "adjacent" the C of a hop as the A of the next, and
    no H. A, B, C and what they add of ages start at N(0, 0.01). State: what the maps make of the
    latest positions, (B, S, maps W).
    """

    role = "attention"
    no_decay = frozenset({"ages"})

    def __init__(
        self, width: int, hops: int = 3, reach: int = 50, tying: str = "layerwise"
    ) -> None:
        super().__init__(width)
        self.hops, self.reach = hops, reach
        count = 2 if tying == "layerwise" else hops + 1
        # of each hop, which map tells where to look and which what is found
        self.reads = tuple((0, 1) if count == 2 else (hop, hop + 1) for hop in range(hops))
        self.ask = nn.Linear(width, width, bias=False)
        self.maps = nn.Linear(width, count * width, bias=False)
        self.ages = nn.Parameter(torch.empty(count, reach, width))
        self.again = nn.Linear(width, width, bias=False) if tying == "layerwise" else None
        self.output = nn.Linear(width, width, bias=False)
        for part in (self.ask.weight, self.maps.weight, self.ages):
            nn.init.normal_(part, std=0.1)
        for weight in (self.output.weight, *([self.again.weight] if self.again else [])):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (old,) = self.initial_state(len(x)) if state is None else state
        y, kept = by_stretches(x, old, self.reach, self._look)
        return y, (kept,)

    def _look(self, x: Tensor, old: Tensor) -> tuple[Tensor, Tensor]:
        rows, ages, seen, kept = window(old, self.maps(x), self.reach)
        memories = rows.chunk(len(self.ages), -1)
        u = self.ask(x)  # (B, T, W)
        for where, what in self.reads:
            # of each age, then at the age that each memory has
            of_age = u @ self.ages[where].T  # (B, T, reach)
            scores = u @ memories[where].mT + of_age.gather(-1, ages.expand(len(x), -1, -1))
            shares = scores.masked_fill(~seen, -math.inf).softmax(-1)  # (B, T, S)
            by_age = torch.zeros_like(of_age).scatter_add(-1, ages.expand_as(shares), shares)
            found = shares @ memories[what] + by_age @ self.ages[what]
            u = found + (u if self.again is None else self.again(u))
        return self.output(u), kept

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, 0, self.maps.out_features),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self(x.unsqueeze(1), state)
        return y.squeeze(1), state
