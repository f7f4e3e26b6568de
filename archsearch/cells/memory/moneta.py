"""Moneta."""

from __future__ import annotations

from archsearch.cells.memory.neural_memory import NeuralMemory
from archsearch.kernels.memories.descent.descent_rule import Rule


class Moneta(NeuralMemory):
    """The memory descends along sum |M(k) - v|^p / p and keeps W = A / |A|_q^(q - 2).

    Without momentum (Behrouz, Razaviyayn, Zhong & Mirrokni 2025, arXiv 2504.13173, section 5).
    A norm below one is taken as one, where the equation would blow a fading memory up, and an
    error longer than one is cut to one if p > 2, whose gradient grows faster than the error.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        depth: int = 2,
        expand: int = 2,
        chunk: int = 8,
        rate: float = 1.0,
        p: int = 3,
        q: int = 4,
    ) -> None:
        super().__init__(width, heads, depth, expand, chunk, rate, Rule(p=p, q=q))
