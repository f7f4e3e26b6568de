"""A recurrence of units that hear themselves only, in a fixed number of Newton's iterations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from archsearch.kernels.scans.linear_scan import linear_scan


def newton_steps(
    after: Callable[[Tensor], Tensor],
    linearised: Callable[[Tensor], tuple[Tensor, Tensor]],
    h0: Tensor,
    iterations: int,
    damping: float,
    tolerance: float,
) -> Tensor | None:
    """Approximate states (B, T, W) of h_t = f_t(h_{t-1}), or None where they are not near enough.

    ``after`` gives f_t for all t at once, each from the state before it; ``linearised`` gives f_t
    and its derivative J_t, element by element. From h_t = f_t(0) on, an iteration adds to h
    ``damping`` times the solution of d_t = J_t d_{t-1} + f_t(h_{t-1}) - h_t, one
    :func:`linear_scan`; the last is not damped, and has the gradient: one scan backwards and the
    slopes of f where it was linearised (Danieli et al. 2025, arXiv 2510.21450, section 3). Near
    enough are states of which no |f_t(h_{t-1}) - h_t| is above ``tolerance``.
    """
    first = h0.detach()[:, None]

    def shifted(h: Tensor) -> Tensor:
        return torch.cat([first, h[:, :-1]], 1)

    with torch.no_grad():
        h = after(torch.zeros_like(first))
        for _ in range(iterations - 1):
            before = shifted(h)
            value, slope = linearised(before)
            h = torch.lerp(h, linear_scan(slope, value - slope * before, h0), damping)
        before = shifted(h)
        slope = linearised(before)[1]
    y = linear_scan(slope, after(before) - slope * before, h0)
    with torch.no_grad():
        residual = (after(shifted(y)) - y).abs().amax()
    # a residual that is no number is not small
    return y if bool(residual <= tolerance) else None
