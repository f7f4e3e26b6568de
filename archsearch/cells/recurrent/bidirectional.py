"""Two recurrences, one that reads forwards and one that reads backwards."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.s4d import S4D
from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rhn import RHN
from archsearch.cells.recurrent.rnn import RNN
from archsearch.errors import ArchitectureError

INNER: dict[str, type[Cell]] = {"gru": GRU, "lstm": LSTM, "rnn": RNN, "rhn": RHN, "s4d": S4D}


class Bidirectional(Cell):
    """y = F(x) + reverse(B(reverse(x))) with two ``inner`` cells F and B of their own weights
    (Schuster & Paliwal 1997), or both halves beside each other: F and B are then half as wide,
    and each reads the input through a matrix of its own, (W / 2, W).

    Every output depends on the whole sequence, so there is no step and no state. Raises
    ArchitectureError for two halves of an odd width.
    """

    causal = False

    def __init__(self, width: int, inner: str = "gru", merge: str = "concat") -> None:
        super().__init__(width)
        halved = merge == "concat"
        if halved and width % 2:
            raise ArchitectureError(
                f"width {width} has no two halves; take an even width or merge 'sum'"
            )
        size = width // 2 if halved else width
        self.ahead, self.back = INNER[inner](size), INNER[inner](size)
        self.halves = nn.Linear(width, width, bias=False) if halved else None
        if self.halves is not None:
            for half in self.halves.weight.chunk(2):
                nn.init.orthogonal_(half)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        first, second = (x, x) if self.halves is None else self.halves(x).chunk(2, -1)
        ahead, back = self.ahead(first)[0], self.back(second.flip(1))[0].flip(1)
        return ahead + back if self.halves is None else torch.cat([ahead, back], -1), ()

    def initial_state(self, batch: int) -> State:
        return ()

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        raise ArchitectureError("a bidirectional cell has no step: its outputs need the whole")
