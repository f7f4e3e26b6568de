"""The memory of a sliding window, trained without ever becoming unstable."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from archsearch.cells.linear.gates import full
from archsearch.cells.linear.hippo import delay, held, legendre_basis, legt_factors


class TrainedWindow(nn.Module):
    """A (N, N) and B (N,) of a step, [A B; 0 1] = exp([A_c B_c; 0 0] / theta).

    They start as those of the Legendre memory of the last ``theta`` steps. Either theta is trained,
    or, with ``matrix``, A_c = R (S - P P') R^-1, S skew and R the fixed :func:`legendre_basis`, and
    B_c. A window of any length forgets; with any S and P, R^-1 A R lengthens no vector, so that A
    has no eigenvalue above one.
    """

    no_decay: ClassVar[frozenset[str]] = frozenset({"skew", "damping"})

    write: Tensor
    matrix: Tensor
    basis: Tensor

    def __init__(self, order: int, theta: float, matrix: bool) -> None:
        super().__init__()
        kind = torch.get_default_dtype()
        basis = legendre_basis(order)
        whole, write = delay(order)
        if matrix:
            self.theta = theta
            skew, damping, _ = legt_factors(order)
            self.skew = nn.Parameter(skew.to(kind))
            self.damping = nn.Parameter(damping.to(kind))
            self.write = nn.Parameter((write / basis).to(kind))
            self.register_buffer("basis", basis.to(kind), persistent=False)
        else:
            self.register_buffer("matrix", whole.to(kind), persistent=False)
            self.register_buffer("write", write.to(kind), persistent=False)
        self.theta_log = None if matrix else nn.Parameter(torch.full((1,), math.log(theta)))

    def forward(self) -> tuple[Tensor, Tensor]:
        """A and B in single precision at least."""
        # a large matrix is squared again and again
        with torch.autocast(self.write.device.type, enabled=False):
            matrix, write = held(*self._rates())
        kind = full(self.write).dtype
        return matrix.to(kind), write.to(kind)

    def _rates(self) -> tuple[Tensor, Tensor]:
        """A_c / theta and B_c / theta in double precision."""
        write = self.write.double()
        if self.theta_log is not None:
            per_step = (-self.theta_log.double()).exp()
            return self.matrix.double() * per_step, write * per_step
        skew, damping, basis = (part.double() for part in (self.skew, self.damping, self.basis))
        normal = (skew - skew.mT) / 2 - damping @ damping.mT
        return basis[:, None] * normal / basis / self.theta, basis * write / self.theta
