"""Titans' long-term memory."""

from __future__ import annotations

from archsearch.cells.memory.neural_memory import NeuralMemory
from archsearch.kernels.memories.descent.descent_rule import Rule


class Titans(NeuralMemory):
    """The memory learns by gradient descent on |M(k) - v|^2 / 2, with momentum and forgetting.

    eta, theta and alpha are logistic functions of x_t per head (Behrouz, Zhong & Mirrokni 2024,
    arXiv 2501.00663, equations 9 to 14; half the squared error). Without momentum and forgetting
    a linear memory with chunks of one is DeltaNet, theta its writing strength.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        depth: int = 2,
        expand: int = 2,
        chunk: int = 8,
        rate: float = 1.0,
        momentum: bool = True,
        forget: bool = True,
    ) -> None:
        sizes = (width, heads, depth, expand, chunk, rate)
        super().__init__(*sizes, Rule(), momentum=momentum, forget=forget)
