"""Has the compiled forms at hand before they are needed."""

from __future__ import annotations

import torch

from archsearch.kernels.recurrences.recurrence import gru
from archsearch.kernels.scans.linear_scan import linear_scan


def make_ready() -> None:
    """Load, or on a new machine compile, what processes forked from this one will share.

    Compiling takes some seconds, once per machine; what a training seldom needs is left to it.
    """
    for kind in (torch.float32, torch.complex64):
        one = torch.ones((1, 1, 1), dtype=kind, requires_grad=True)
        states = linear_scan(one, one, one[:, 0])
        states.abs().sum().backward()
    one, three = torch.ones((1, 1), requires_grad=True), torch.ones((3, 1))
    gru(one[None], one, three, three, three[:, 0], one[0]).sum().backward()
