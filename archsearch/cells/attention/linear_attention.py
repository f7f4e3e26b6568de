"""Linear attention: a kernel of features in place of the exponential of a product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from archsearch.cells.attention.features import POINTWISE, orthogonal, positive_features
from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, in_full
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.positive.positive_attention import (
    SMALLEST_SUM,
    positive_attention,
)
from archsearch.kernels.projections.projected import projected


class LinearAttention(Cell):
    """o_i = f(q_i)' S_i / (f(q_i) . z_i + 1e-6), per head, y = W_o o.

    S_i and z_i sum f(k_j) v_j' and f(k_j) over j <= i (Katharopoulos et al. 2020, arXiv
    2006.16236, equations 9 to 12). f is elu(x) + 1 there; ``relu``; a softmax over the features;
    or ``exp``: ``count`` positive orthogonal random features whose products estimate
    exp(q'k / sqrt(d)) without bias, drawn once (Choromanski et al. 2020, arXiv 2009.14794, lemma
    1), where positive sums need no 1e-6. ``identity`` has no sum to divide by: o_i = rms(q_i' S_i)
    with a learned scale (Qin et al. 2022, arXiv 2210.10340, section 3.1).
    State: [S, z] (B, H, F, d + 1) with F features, or S (B, H, d, d) of the identity.
    """

    role = "attention"

    def __init__(self, width: int, heads: int = 4, features: str = "elu1", count: int = 32) -> None:
        super().__init__(width)
        self.heads, self.features = heads, features
        self.head_size = split_width(width, heads)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        for weight in (*self.project.weight.chunk(3), self.output.weight):
            nn.init.xavier_uniform_(weight)
        self.mapped = count if features == "exp" else self.head_size
        drawn = orthogonal(heads, count, self.head_size) if features == "exp" else None
        self.register_buffer("directions", drawn)  # (H, F, d)
        normed = features == "identity"
        self.norm = nn.RMSNorm(self.head_size, eps=1e-5) if normed else None

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f(q) and f(k) (..., H, F), and [v, 1] (..., H, d + 1), or v where nothing divides."""
        parts = full(projected(self.project, x)).unflatten(-1, (3 * self.heads, -1))
        q, k, v = parts.chunk(3, -2)
        if self.norm is not None:
            return q * self.head_size**-0.5, k, v
        v = pad(v, (0, 1), value=1.0)
        if self.features == "exp":
            scale = self.head_size**-0.25
            q, k = (in_full(positive_features, scale * part, self.directions) for part in (q, k))
            # what a query's features have in common cancels, and they may be large
            return torch.exp(q - q.detach().amax(-1, keepdim=True)), torch.exp(k), v
        return POINTWISE[self.features](q), POINTWISE[self.features](k), v

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        if self.norm is not None:
            normed = self.norm(read.to(self.norm.weight.dtype))
            return projected(self.output, normed.flatten(-2).to(x.dtype))
        floor = 0.0 if self.features == "exp" else SMALLEST_SUM
        answers = (read[..., :-1] / (read[..., -1:] + floor)).flatten(-2)
        return projected(self.output, answers.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (memory,) = self.initial_state(len(x)) if state is None else state
        if self.features == "elu1":
            answers, memory = in_full(positive_attention, projected(self.project, x), memory)
            return projected(self.output, answers.to(x.dtype)), (memory,)
        q, k, v = self._split(x)
        kept = q.new_zeros(1, x.shape[1], self.heads)
        read, memory = in_full(linear_attention, q, k, v, kept, memory)
        return self._answer(read, x), (memory,)

    def initial_state(self, batch: int) -> State:
        values = self.head_size + (self.norm is None)
        return (self.zeros(batch, self.heads, self.mapped, values),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        q, k, v = self._split(x)
        memory = state[0] + k[..., None] * v[..., None, :]
        return self._answer((q[..., None] * memory).sum(-2), x), (memory,)
