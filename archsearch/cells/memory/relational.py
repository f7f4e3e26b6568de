"""Messages between pairs of positions, summed up: the step of a recurrent relational network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.memories.messages import messages


class Relational(Cell):
    """m_t = W mean_j f(A x_t + B x_j + a_age), over the latest ``reach`` positions j, t included.

    f is a rectifier and ``layers`` - 1 further rectified maps (Palm et al. 2018, arXiv 1711.08028,
    equations 1 to 3, over the positions so far in place of a graph's edges, and a mean in place of
    the sum as their number grows). In a stage that loops, tied by ``injected``, with a gate ``gru``
    and the halting ``supervised``, it is that paper's network. State: B x of the latest, (B, S, W).
    """

    role = "attention"
    no_decay = frozenset({"ages"})

    def __init__(self, width: int, reach: int = 64, layers: int = 2) -> None:
        super().__init__(width)
        self.reach = reach
        self.own = nn.Linear(width, width)
        self.others = nn.Linear(width, width, bias=False)
        self.ages = nn.Parameter(0.1 * torch.randn(reach, width))
        self.more = nn.ModuleList(nn.Linear(width, width) for _ in range(layers - 1))
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (old,) = self.initial_state(len(x)) if state is None else state
        rows = torch.cat([old, self.others(x)], 1)
        y = self.output(messages(self.own(x), rows, self.ages, list(self.more)))
        return y, (rows[:, max(rows.shape[1] - (self.reach - 1), 0) :],)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, 0, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self(x.unsqueeze(1), state)
        return y.squeeze(1), state
