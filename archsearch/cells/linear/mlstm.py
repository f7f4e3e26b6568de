"""Matrix long short-term memory (mLSTM)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.errors import ArchitectureError
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer import stabilised_mixer
from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer
from archsearch.kernels.memories.stabilised.stabilised_attention import (
    stabilised_attention,
    weigh_once,
)
from archsearch.kernels.memories.stabilised.stabilised_inputs import memory_inputs
from archsearch.kernels.projections.projected import projected, untouched
from archsearch.kernels.recurrences.block_product import block_product

BLOCK = 4  # channels that meet in one block of the query, key and value matrices


class MLSTM(Cell):
    """C_t = f_t C_{t-1} + exp(i_t) k_t v_t', n_t = f_t n_{t-1} + exp(i_t) k_t, per head.

    h_t = C_t' q_t / max(|n_t' q_t|, 1); i_t and f_t = s(.) are linear in [q; k; v]. Of the two
    halves u and z of a projection of x, u is convolved over ``conv`` positions and activated to
    c; q and k come from c, v from u, by matrices of ``blocks`` of four, or dense ones; k is scaled
    by K^(-1/2). y_t = W_o ((layernorm(h_t) + s c_t) silu(z_t)), the norm per head (Beck et al.
    2024, arXiv 2405.04517, section 2.3 and figure 10). Where ``forget`` is exp, f_t = exp(.) and
    may be above one: what is held then grows, and outweighs what is written later. The gates start
    as constants: f from s(``forget_low``) to s(``forget_high``) over the heads, i near one. State:
    exp(-m) [C, n] (B, H, K, K + 1) and m (B, H), as in
    :mod:`archsearch.kernels.memories.stabilised.stabilised_attention`, and the convolution's
    (B, conv - 1, E) with E = expand W.
    """

    no_decay = frozenset({"scale", "skip"})

    def __init__(
        self,
        width: int,
        heads: int = 4,
        expand: float = 2.0,
        conv: int = 4,
        conv_start: str = "uniform",
        blocks: str = "four",
        forget: str = "sigmoid",
        forget_low: float = 3.0,
        forget_high: float = 6.0,
    ) -> None:
        super().__init__(width)
        size, dense = int(width * expand), blocks == "dense"
        self.heads, self.head_size = heads, split_width(size, heads, "inner width")
        if size % BLOCK and not dense:
            raise ArchitectureError(
                f"inner width {size} is no multiple of {BLOCK}; take another width or dense blocks"
            )
        if forget_low > forget_high:
            raise ArchitectureError(
                f"forget_low {forget_low} is above forget_high {forget_high}; lower forget_low"
            )
        if self.head_size == 1:
            raise ArchitectureError("a head of size one has no norm; take fewer heads")
        self.project = nn.Linear(width, 2 * size, bias=False)
        self.conv = ShortConv(size, conv, conv_start, activated=True)
        self.exponential = forget == "exp"
        drawn = None if dense else torch.randn(3, size // BLOCK, BLOCK, BLOCK) * 0.1**0.5
        self.blocks = None if drawn is None else nn.Parameter(drawn)
        # queries and keys of c, values of u
        parts = [nn.Linear(size, count * size, bias=False) for count in (2, 1)] if dense else []
        for part in parts:
            nn.init.normal_(part.weight, std=(0.4 / size) ** 0.5)
        self.dense = nn.ModuleList(parts)
        self.gates = nn.Linear(3 * size, 2 * heads)  # input, forget
        self.scale = nn.Parameter(torch.ones(heads, self.head_size))
        self.skip = nn.Parameter(torch.ones(size))
        self.output = nn.Linear(size, width, bias=False)
        nn.init.zeros_(self.gates.weight)
        with torch.no_grad():
            self.gates.bias[:heads].normal_(std=0.1)
            bias = torch.linspace(forget_low, forget_high, heads)
            # as much is kept at the start, whichever function the gate has
            self.gates.bias[heads:] = logsigmoid(bias) if self.exponential else bias

    def _mixed(self, c: Tensor, u: Tensor) -> list[Tensor]:
        """Queries, keys and values, before anything is scaled."""
        if self.blocks is not None:
            return [block_product(x, w) for x, w in zip((c, c, u), self.blocks, strict=True)]
        asked, values = self.dense
        return [*projected(asked, c).chunk(2, -1), projected(values, u)]

    def _split(self, c: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        blocks, gates, scale = self.blocks, self.gates, self.head_size**-0.5
        if blocks is not None and untouched(gates):
            *parts, opened = memory_inputs(c, u, blocks, gates.weight, gates.bias, scale)
        else:
            parts = self._mixed(c, u)
            opened = gates(torch.cat(parts, -1))
            parts[1] = parts[1] * scale
        gate, forget = full(opened).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in parts)
        return q, k, v, gate, forget if self.exponential else logsigmoid(forget)

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        if self.blocks is None or self.exponential:
            return False
        linear = all(map(untouched, (self.project, self.gates, self.output)))
        return linear and untouched(self.conv, ShortConv) and self.conv.taps > 0

    def _answer(self, h: Tensor, c: Tensor, z: Tensor) -> Tensor:
        return projected(self.output, gated_answer(h, self.scale, c, self.skip, z).to(z.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        held, size, recent = self.initial_state(len(x)) if state is None else state
        if self._whole():
            y, *left = stabilised_mixer(
                *(x, held, size, recent, self.project.weight, self.conv.weight, self.blocks),
                *(self.gates.weight, self.gates.bias, self.scale, self.skip, self.output.weight),
            )
            return y, tuple(left)
        u, z = projected(self.project, x).chunk(2, -1)
        c, recent = self.conv(u, recent)
        h, (held, size) = stabilised_attention(*self._split(c, u), (held, size))
        return self._answer(h, c, z), (held, size, recent)

    def initial_state(self, batch: int) -> State:
        held = self.zeros(batch, self.heads, self.head_size, self.head_size + 1)
        recent = self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)
        # an empty memory is zero under any maximum
        return held, self.zeros(batch, self.heads), recent

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        held, size, recent = state
        u, z = projected(self.project, x).chunk(2, -1)
        c, recent = self.conv.step(u, recent)
        h, (held, size) = weigh_once(*self._split(c, u), (held, size))
        return self._answer(h, c, z), (held, size, recent)
