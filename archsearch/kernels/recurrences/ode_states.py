"""States that follow a differential equation from input to input."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated

# of each evaluation: how far along the slope before it, and its share of the step
METHODS = {
    "euler": ((0.0,), (1.0,)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


@accelerated(cpu="archsearch.kernels.recurrences.ode_cpu:ode_states")
def ode_states(
    drives: Tensor, h: Tensor, matrix: Tensor, share: Tensor | None, solver: str, substeps: int
) -> Tensor:
    """h after a unit of time under dh/dt = f(h) of each position's ``drives`` (T, B, G W).

    ``matrix`` (W, G W) is U transposed. With ``share`` (W,), G = 1 and f = share (tanh(U h +
    drive) - h), else G = 3 and f = (1 - z)(n - h), r and z = s(U h + drive), n = tanh(U (r h) +
    drive). A unit is cut into ``substeps`` of Euler's or the classical Runge-Kutta method. ``h``
    is (B, W), the states are (T, B, W).
    """
    states = []
    for driven in drives.unbind(0):
        h = one_unit(driven, h, matrix, share, solver, substeps)
        states.append(h)
    return torch.stack(states)


def one_unit(
    driven: Tensor, h: Tensor, matrix: Tensor, share: Tensor | None, solver: str, substeps: int
) -> Tensor:
    """The state (B, W) after a unit of time under one position's drives (B, G W)."""
    size = 1 / substeps
    for _ in range(substeps):
        before, slope = h, torch.zeros_like(h)
        for along, weight in zip(*METHODS[solver], strict=True):
            at = torch.add(before, slope, alpha=size * along) if along else before
            slope = _field(driven, at, matrix, share)
            h = torch.add(h, slope, alpha=size * weight)
    return h


def _field(driven: Tensor, h: Tensor, matrix: Tensor, share: Tensor | None) -> Tensor:
    """dh/dt."""
    if share is not None:
        return (torch.tanh(torch.addmm(driven, h, matrix)) - h) * share
    both = 2 * h.shape[1]
    r, z = torch.sigmoid(torch.addmm(driven[:, :both], h, matrix[:, :both])).chunk(2, -1)
    n = torch.tanh(torch.addmm(driven[:, both:], r * h, matrix[:, both:]))
    return (1 - z) * (n - h)
