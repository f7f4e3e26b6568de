"""Memora."""

from __future__ import annotations

from archsearch.cells.memory.neural_memory import NeuralMemory
from archsearch.kernels.memories.descent.descent_rule import Rule


class Memora(NeuralMemory):
    """Every row of the memory is a distribution: W_t = softmax(alpha_t log W_{t-1} - theta_t g_t).

    g is the gradient of |M(k) - v|^2 / 2; rows start all but uniform: a network of
    equal rows would stay one; forgetting makes them uniform
    (Behrouz, Razaviyayn, Zhong & Mirrokni 2025, arXiv 2504.13173, section 5). A softmax does not
    see a shift of its row, so the state holds unnormalised logarithms.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        depth: int = 2,
        expand: int = 2,
        chunk: int = 8,
        rate: float = 1.0,
    ) -> None:
        super().__init__(width, heads, depth, expand, chunk, rate, Rule(spread=True))
