"""Moneta."""

from __future__ import annotations

from torch import Tensor

from archsearch.cells.memory.neural_memory import NeuralMemory


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
        super().__init__(width, heads, depth, expand, chunk, rate, retains=q > 2)
        self.p, self.q = p, q

    def error(self, difference: Tensor, size: Tensor | None) -> Tensor:
        if self.p == 2:
            return difference
        error = difference.sign() * difference.abs() ** (self.p - 1)
        return error / error.norm(dim=-1, keepdim=True).clamp_min(1.0)

    def retain(self, matrix: Tensor) -> Tensor:
        length = (matrix**self.q).sum((-2, -1), keepdim=True).clamp_min(1.0) ** (1 / self.q)
        return matrix / length ** (self.q - 2)
