"""A recurrent cell that also attends to its own last outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.recurrent.bidirectional import INNER
from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rnn import RNN
from archsearch.kernels.projections.projected import untouched
from archsearch.kernels.recurrences.attentive.attentive import Maps, attentive


class AttentiveRNN(Cell):
    """h_t = core(x_t + a_t, state), y_t = h_t, with a_t attention over h_{t-1} ... h_{t-w}.

    a_t = O sum_j softmax_j(q_t' k_j / sqrt(d) + b_{t-j}) v_j per head, q_t = Q x_t + P h_{t-1},
    k_j = K h_j, v_j = V h_j, and b a learned number per head and distance, zero at the start.
    Before the first output there is nothing to attend to: a_1 = 0. With O = 0 it is the core.
    Attention as one of three switches beside gating and recurrence: Heidenreich et al. 2024,
    arXiv 2410.02654; that attention sees the outputs, and where it enters, is our choice.

    ``core`` is a cell of that name with its defaults. State: the core's, keys and values of the
    last outputs (B, S, 2 W), S growing from none to ``window``, and P h_{t-1} (B, W).
    """

    no_decay = frozenset({"bias"})
    state_matrices = frozenset({"seen"})

    def __init__(self, width: int, core: str = "gru", window: int = 16, heads: int = 4) -> None:
        super().__init__(width)
        self.window, self.heads = window, heads
        self.scale = split_width(width, heads) ** -0.5
        self.core = INNER[core](width)
        self.query = nn.Linear(width, width, bias=False)
        self.seen = nn.Linear(width, 3 * width, bias=False)  # P, K and V
        self.output = nn.Linear(width, width, bias=False)
        for matrix in (self.query.weight, *self.seen.weight.chunk(3), self.output.weight):
            nn.init.xavier_uniform_(matrix)
        self.bias = nn.Parameter(torch.zeros(heads, window))  # the farthest distance first

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        core = self.core
        alone = all(untouched(layer) for layer in (self.query, self.seen, self.output))
        if not alone or not isinstance(core, (GRU, LSTM, RNN)):
            return self._repeated(x, state)
        maps = Maps(
            core.input.weight,
            core.input.bias,
            core.recurrent.weight,
            core.candidate_bias if isinstance(core, GRU) else None,
            self.query.weight,
            self.seen.weight,
            self.output.weight,
            self.bias,
        )
        return attentive(x, state, maps, type(core).__name__.lower(), self._repeated)

    def _repeated(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        inner, past, last = state
        outputs = []
        for x_t, query in zip(x.unbind(1), self.query(x).unbind(1), strict=True):
            y, inner, past, last = self._advance(x_t, query, inner, past, last)
            outputs.append(y)
        return torch.stack(outputs, 1), (inner, past, last)

    def initial_state(self, batch: int) -> State:
        past, last = self.zeros(batch, 0, 2 * self.width), self.zeros(batch, self.width)
        return self.core.initial_state(batch), past, last

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, *after = self._advance(x, self.query(x), *state)
        return y, tuple(after)

    def _advance(
        self, x: Tensor, query: Tensor, inner: State, past: Tensor, last: Tensor
    ) -> tuple[Tensor, State, Tensor, Tensor]:
        """``last`` is P h_{t-1}, zero before the first output."""
        count = past.shape[1]
        if count:
            q = (query + last).view(len(x), self.heads, -1, 1)
            k, v = past.view(len(x), count, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            scores = (k @ q).squeeze(-1) * self.scale + self.bias[:, self.window - count :]
            heard = torch.softmax(scores, -1).unsqueeze(-2) @ v  # (B, H, 1, d)
            x = x + self.output(heard.flatten(1))
        y, inner = self.core.step(x, inner)
        last, made = self.seen(y).split([self.width, 2 * self.width], -1)
        kept = past[:, max(count + 1 - self.window, 0) :]
        return y, inner, torch.cat([kept, made.unsqueeze(1)], 1), last
