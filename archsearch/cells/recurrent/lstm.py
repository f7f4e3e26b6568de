"""Long short-term memory, and what of it can be left out or added."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear


class LSTM(Cell):
    """[i, f, g, o] = W x_t + U h_{t-1} + b; c_t = s(f) c_{t-1} + s(i) tanh(g); y_t = h_t =
    s(o) tanh(c_t), with s the logistic function (Hochreiter & Schmidhuber 1997; Gers 2000).

    Variants (Greff et al. 2015, arXiv 1503.04069): ``forget`` "coupled" puts 1 - s(f) for s(i),
    "none" puts 1 for s(f); without ``squash`` h_t = s(o) c_t; ``peephole`` adds p_i c_{t-1} to i,
    p_f c_{t-1} to f and p_o c_t to o, with p zero at the start. With several heads U is
    block-diagonal (arXiv 2412.07752).

    U starts orthogonal per gate, b at zero but for the forget gate: ``forget_bias``, or with the
    chrono start (Tallec & Ollivier 2018, arXiv 1804.11188) log u and -log u for the input gate,
    u uniform from 1 to ``longest`` - 1. State: h and c, each (B, W).
    """

    def __init__(
        self,
        width: int,
        forget: str = "own",
        start: str = "constant",
        forget_bias: float = 1.0,
        longest: int = 128,
        peephole: bool = False,
        squash: bool = True,
        heads: int = 1,
    ) -> None:
        super().__init__(width)
        absent = {"own": "", "coupled": "i", "none": "f"}[forget]
        self.gates = tuple(gate for gate in "ifgo" if gate != absent)
        self.squash = squash
        self.input = nn.Linear(width, len(self.gates) * width)
        self.recurrent = HeadwiseLinear(width, len(self.gates), heads)
        for gate in range(len(self.gates)):
            nn.init.xavier_uniform_(self.input.weight[gate * width : (gate + 1) * width])
            for block in self.recurrent.blocks(gate):
                nn.init.orthogonal_(block)
        nn.init.zeros_(self.input.bias)
        biases = dict(zip(self.gates, self.input.bias.chunk(len(self.gates)), strict=True))
        if "f" in biases and start == "constant":
            nn.init.constant_(biases["f"], forget_bias)
        elif "f" in biases:
            with torch.no_grad():
                biases["f"].uniform_(1, longest - 1).log_()
                if "i" in biases:
                    biases["i"].copy_(-biases["f"])
        seen = [gate for gate in self.gates if gate != "g"] if peephole else []
        self.peepholes = nn.ParameterDict({gate: torch.zeros(width) for gate in seen})

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        u, plain = self.recurrent, len(self.gates) == 4 and self.squash and not self.peepholes
        if not plain or u.heads > 1:
            return self._loop(x, state)
        h, c = state
        bias = self.input.bias
        weights = [self.input.weight, u.weight, bias, torch.zeros_like(bias)]
        # torch's own recurrence: layers, dropout, training, bidirectional, batch first
        y, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, True, False, True)
        return y, (h[0], c[0])

    def _loop(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        u = self.recurrent
        h, c = (u.apart(part) for part in state)
        driven, matrix, states = u.apart(self.input(x.transpose(0, 1))), u.matrix(), []
        peepholes = {gate: u.apart(p[None]) for gate, p in self.peepholes.items()}
        for drive in driven.unbind(0):
            h, c = self._advance(u.advance(drive, h, matrix), c, peepholes)
            states.append(h)
        return u.together(torch.stack(states, -2)), (u.together(h), u.together(c))

    def _advance(
        self, drives: Tensor, c: Tensor, peepholes: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """h_t and c_t for the gates' inputs without peepholes, (.., gates size)."""
        given = dict(zip(self.gates, drives.chunk(len(self.gates), -1), strict=True))
        for gate in peepholes.keys() - {"o"}:
            given[gate] = torch.addcmul(given[gate], peepholes[gate], c)
        new = torch.tanh(given["g"])
        if "i" not in given:
            c = torch.lerp(new, c, torch.sigmoid(given["f"]))
        elif "f" not in given:
            c = torch.addcmul(c, torch.sigmoid(given["i"]), new)
        else:
            c = torch.addcmul(torch.sigmoid(given["f"]) * c, torch.sigmoid(given["i"]), new)
        opened = given["o"]
        if "o" in peepholes:
            opened = torch.addcmul(opened, peepholes["o"], c)
        return torch.sigmoid(opened) * (torch.tanh(c) if self.squash else c), c

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, self.width), self.zeros(batch, self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        drives = self.input(x) + self.recurrent(h)
        h, c = self._advance(drives, c, dict(self.peepholes.items()))
        return h, (h, c)
