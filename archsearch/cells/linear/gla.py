"""Gated linear attention."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import logsigmoid, relu, silu

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, in_full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.signed_attention import attend_once, floored, signed_attention
from archsearch.kernels.norms.gated_norm import EPSILON, gated_norm
from archsearch.kernels.projections.projected import projected


def elu1(x: Tensor) -> Tensor:
    """elu(x) + 1, of which a small number is not lost beside the one."""
    return relu(x) + x.clamp_max(0).exp()


FEATURES = {"silu": silu, "relu": relu, "elu1": elu1}


class GLA(Cell):
    """S_t = diag(alpha_t) S_{t-1} + k_t v_t', o_t = S_t' q_t / sqrt(K), per head.

    log alpha_t = log s(x_t W_1 W_2 + b) / tau, with W_1 (W, ``rank``), or where ``negative`` the
    factor of a row is 2 alpha_t - 1; its size counts as exp(-5) where it is smaller.
    y_t = W_o (rms(o_t) silu(W_g x_t)) (Yang et al. 2023, arXiv 2312.06635, section 4). ``conv``
    puts a short causal convolution and a silu on q, k and v; then q and k pass through
    ``features``: silu, relu or elu1, elu(x) + 1 (Katharopoulos et al. 2020, arXiv 2006.16236,
    equation 7), or nothing more. State: the memory S (B, H, K, V) and the convolution's
    (B, taps - 1, .).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        expand_k: float = 0.5,
        expand_v: float = 1.0,
        tau: float = 16.0,
        conv: int = 0,
        negative: bool = False,
        conv_start: str = "uniform",
        rank: int = 16,
        features: str = "identity",
    ) -> None:
        super().__init__(width)
        keys, values = int(width * expand_k), int(width * expand_v)
        self.heads, self.tau, self.negative = heads, tau, negative
        self.map = FEATURES.get(features)
        self.key_size = split_width(keys, heads, "key width")
        self.value_size = split_width(values, heads, "value width")
        self.sizes = [keys, keys, values]
        self.project = nn.Linear(width, 2 * keys + values, bias=False)
        self.conv = ShortConv(2 * keys + values, conv, conv_start, activated=conv > 0)
        self.gate = nn.Sequential(nn.Linear(width, rank, bias=False), nn.Linear(rank, keys))
        self.norm = nn.RMSNorm(self.value_size, eps=EPSILON)
        self.open = nn.Linear(width, values, bias=False)
        self.output = nn.Linear(values, width, bias=False)
        for weight in (*self.project.weight.split(self.sizes), self.open.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.output.weight)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in mixed.split(self.sizes, -1))
        if self.map is not None:
            q, k = self.map(full(q)), self.map(full(k))
        log_decay = (logsigmoid(full(self.gate(x))) / self.tau).unflatten(-1, (self.heads, -1))
        return q, k, v, log_decay

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        # the scale of queries, 1 / sqrt(K), leaves the norm but for its epsilon
        epsilon = EPSILON * self.key_size
        normed = gated_norm(full(read), self.norm.weight, projected(self.open, x), epsilon)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        mixed, recent = self.conv(projected(self.project, x), recent)
        q, k, v, log_decay = self._split(mixed, x)
        if self.negative:
            factor = spread(log_decay.exp(), True)
            read, memory = in_full(signed_attention, q, k, v, factor, memory)
        else:
            read, memory = in_full(linear_attention, q, k, v, log_decay, memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.key_size, self.value_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        q, k, v, log_decay = self._split(mixed, x)  # (B, H, K or V)
        factor = floored(spread(log_decay.exp(), self.negative))
        read, memory = in_full(attend_once, q, k, v, factor, memory)
        return self._answer(read, x), (memory, recent)
