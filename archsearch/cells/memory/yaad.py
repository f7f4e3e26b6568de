"""Yaad."""

from __future__ import annotations

from torch import nn

from archsearch.cells.memory.neural_memory import NeuralMemory
from archsearch.kernels.memories.descent.descent_rule import Rule


class Yaad(NeuralMemory):
    """The memory descends along a Huber loss of M(k) - v: outliers move it by their signs alone.

    The gradient by M(k) is e = M(k) - v while |e| <= delta_t, else delta_t sign(e), smoothed;
    delta_t = softplus(w x_t + b) per head, where b starts at ``bound_bias`` (Behrouz, Razaviyayn,
    Zhong & Mirrokni 2025, arXiv 2504.13173, section 5).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        depth: int = 2,
        expand: int = 2,
        chunk: int = 8,
        rate: float = 1.0,
        bound_bias: float = 0.0,
    ) -> None:
        super().__init__(width, heads, depth, expand, chunk, rate, Rule(outliers=True))
        assert self.bound is not None
        nn.init.constant_(self.bound.bias, bound_bias)
