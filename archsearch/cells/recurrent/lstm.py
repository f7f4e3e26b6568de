"""Long short-term memory, and what of it can be left out or added."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.cut import checked, read_before
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.cells.recurrent.lstm_norms import LSTMNorms, normed_steps
from archsearch.cells.recurrent.lstm_steps import lstm_program
from archsearch.cells.recurrent.noise import noisy_steps, spared_inputs
from archsearch.cells.recurrent.projected_state import ProjectedState
from archsearch.kernels.recurrences.gated import lstm


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

    ``input_dropout``, ``recurrent_dropout``, ``zoneout`` and ``cut`` are those of
    :class:`archsearch.cells.recurrent.rnn.RNN`. ``zoneout_memory`` is the same of c: c_t =
    d c_{t-1} + (1 - d) c'_t with d of its own, h_t being made of c'_t, the memory that had moved
    (Krueger et al. 2016, arXiv 1606.01305, equation 5).

    With ``norm`` there are layer norms within a step, :class:`LSTMNorms`. With ``project`` below
    one U is U' P, and U' reads r_t = P h_t, of that share of the width (Sak et al. 2014, arXiv
    1402.1128). There the next layer reads r_t too; here y_t is the h_t that r_t is made of, for y
    has the width of x.
    """

    state_matrices = frozenset({"recurrent"})

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
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        zoneout_memory: float = 0.0,
        norm: bool = False,
        project: float = 1.0,
        cut: bool = False,
    ) -> None:
        super().__init__(width)
        self.cut = checked(cut, recurrent_dropout, zoneout, zoneout_memory, norm)
        self.input_dropout, self.recurrent_dropout = input_dropout, recurrent_dropout
        self.zoneout = zoneout, zoneout_memory
        absent = {"own": "", "coupled": "i", "none": "f"}[forget]
        self.gates = tuple(gate for gate in "ifgo" if gate != absent)
        self.forget, self.squash = forget, squash
        self.input = nn.Linear(width, len(self.gates) * width)
        self.recurrent = (
            HeadwiseLinear(width, len(self.gates), heads)
            if project == 1
            else ProjectedState(width, len(self.gates), max(round(project * width), 1))
        )
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
        self.norms = LSTMNorms(width, len(self.gates)) if norm else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        if self.training:
            x = spared_inputs(x, self.input_dropout)
        y, after = self._whole(x, state)
        if not self.cut or not torch.is_grad_enabled():
            return y, after
        driven = self.input(x) + self.recurrent(read_before(state[0], y))
        return self._variant(driven, state, torch.zeros_like(self.recurrent.matrices()))

    def _whole(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        u = self.recurrent
        other = self.forget != "own" or not self.squash or self.peepholes or u.heads > 1
        other = other or self.norms is not None or self._is_noisy(self.training)
        # few processors have an LSTM in half precision
        if other or (x.is_cpu and torch.is_autocast_enabled("cpu")):
            return self._repeated(x, state, self.training)
        h, c = state
        bias = self.input.bias
        weights = [self.input.weight, u.whole(), bias, torch.zeros_like(bias)]
        # torch's own recurrence: layers, dropout, training, bidirectional, batch first
        y, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, True, False, True)
        return y, (h[0], c[0])

    def _is_noisy(self, training: bool) -> bool:
        return any(self.zoneout) or (training and self.recurrent_dropout > 0)

    def _repeated(self, x: Tensor, state: State, training: bool) -> tuple[Tensor, State]:
        if self.norms is not None:
            return self._normed(x, state, self.norms, training)
        if self._is_noisy(training):
            return self._noisy(x, state, training)
        return self._variant(self.input(x), state, self.recurrent.matrices())

    def _variant(self, driven: Tensor, state: State, matrices: Tensor) -> tuple[Tensor, State]:
        u, none = self.recurrent, self.zeros(self.width)
        seen = torch.stack([self.peepholes.get(gate, none) for gate in "ifo"])
        first = tuple(u.by_head(part) for part in state)
        y, last = lstm(
            u.by_head(driven),
            first,
            matrices,
            seen.view(3, u.heads, -1),
            self.forget,
            self.squash,
        )
        return u.of_heads(y), tuple(u.of_heads(part) for part in last)

    def _noisy(self, x: Tensor, state: State, training: bool) -> tuple[Tensor, State]:
        u, seen = self.recurrent, tuple(self.peepholes)
        held = [self.peepholes[gate].expand_as(state[0]) for gate in seen]
        states = torch.stack([u.by_head(part) for part in (*state, *held)])
        matrices = u.of_head(u.whole()).unflatten(1, (len(self.gates), -1)).mT
        program = lstm_program(self.forget, self.squash, seen)
        noise = self.recurrent_dropout, self.zoneout, training
        driven = u.by_head(self.input(x.transpose(0, 1)))
        y, (h, c, *_) = noisy_steps(driven, states, matrices, program, *noise)
        return y.flatten(-2), (u.of_heads(h), u.of_heads(c))

    def _normed(
        self, x: Tensor, state: State, norms: LSTMNorms, training: bool
    ) -> tuple[Tensor, State]:
        driven = norms.driven(self.input(x.transpose(0, 1)), self.input.bias)
        variant = self.peepholes, norms, self.forget, self.squash
        noise = self.recurrent_dropout, self.zoneout, training
        return normed_steps(driven, state, self.recurrent, *variant, *noise)

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, self.width), self.zeros(batch, self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        y, state = self._repeated(x[:, None], (h.detach() if self.cut else h, c), False)
        return y[:, 0], state
