"""Elementwise nonlinear recurrences solved for all steps at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from archsearch.kernels.scans.linear_scan import linear_scan

# of the machine's precision: what rounding alone leaves of a residual
SLACK = 32


def newton_scan(
    after: Callable[[Tensor], Tensor],
    linearised: Callable[[Tensor], tuple[Tensor, Tensor]],
    h0: Tensor,
    length: int,
    most: int = 10,
) -> Tensor | None:
    """All states of h_t = f_t(h_{t-1}), (B, T, ..), by Newton's method; None if it does not settle.

    ``after`` gives f_t for all t at once, each from the state before it; element i of f_t depends
    on element i of h_{t-1} alone. ``linearised`` gives f_t and its derivative. Each iteration is
    one :func:`linear_scan` (Danieli et al. 2025, arXiv 2510.21450, section 3), after k of them
    the first k states are exact, and ``most`` are tried. They end when all rows and steps have
    settled, so other rows and later steps may change how a state is rounded, and no more. The
    gradient is that of one more iteration at the solution, which is the exact one, so iterations
    are not kept.
    """
    start = h0.detach()[:, None]
    precision = SLACK * torch.finfo(h0.dtype).eps
    with torch.no_grad():
        h = start.expand(-1, length, *[-1] * (h0.ndim - 1))
        for _ in range(most + 1):
            before = torch.cat([start, h[:, :-1]], 1)
            value, slope = linearised(before)
            residual = ((value - h).abs() / (1 + value.abs())).amax()
            # a residual that is no number is not small
            if bool(residual <= precision):
                break
            h = linear_scan(slope, value - slope * before, h0)
        else:
            return None
    return linear_scan(slope, after(before) - slope * before, h0)
