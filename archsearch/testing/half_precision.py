"""What a cell owes where numbers have half the bits: under autocast, and converted."""

from __future__ import annotations

import os
from unittest.mock import patch

import torch
from torch import Tensor

from archsearch.cells.cell import Cell
from archsearch.kernels.choose import VARIABLE
from archsearch.testing.states import flatten
from archsearch.visitor import reason

HALF = "where that is as it should be, declare half_precision=False"


def check_half_precision(cell: Cell, x: Tensor) -> None:
    """Raise AssertionError unless the cell computes, steps and learns with inputs (B, T, W).

    With inputs in single precision autocast chooses the types; in bfloat16 the cell is converted.
    """
    converted = x.dtype == torch.bfloat16
    what = "converted to bfloat16" if converted else "under autocast to bfloat16"
    x = x.detach().requires_grad_()
    # the compiled forms of kernels have tests of their own
    with patch.dict(os.environ, {VARIABLE: "plain"}):
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=not converted):
                y, state = cell(x)
                if cell.causal:
                    state = cell.step(x[:, 0], state)[1]
            learned = torch.autograd.grad(
                y.float().sum(), (x, *cell.parameters()), allow_unused=True
            )
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise AssertionError(f"fails {what}: {reason(error)}; {HALF}") from error
    found = (y, *flatten(state), *(slope for slope in learned if slope is not None))
    if not all(part.isfinite().all() for part in found):
        raise AssertionError(f"leaves NaN or infinity behind {what}; {HALF}")
    if converted and y.dtype != x.dtype:
        raise AssertionError(f"gives {y.dtype} where it is {what}; {HALF}")
