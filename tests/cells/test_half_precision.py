"""A cell converted to bfloat16 answers as it does in single precision, but for the rounding."""

from __future__ import annotations

import copy

import pytest
import torch

from archsearch.cells.declared import CELLS
from archsearch.kernels.choose import VARIABLE
from archsearch.testing.states import flatten

ROWS, STEPS, WIDTH = 2, 5, 16


@pytest.mark.parametrize("entry", CELLS, ids=lambda entry: entry.name)
def test_a_converted_cell_answers_and_learns(entry, monkeypatch):
    monkeypatch.setenv(VARIABLE, "plain")
    torch.manual_seed(0)
    # a cell in training may draw, or change how it answers the next time
    exact = entry.implementation()(WIDTH).eval()
    with torch.no_grad():
        for part in exact.parameters():
            part.copy_(part.bfloat16())
    rough = copy.deepcopy(exact).bfloat16()
    x = torch.randn(ROWS, STEPS, WIDTH).bfloat16()
    weights, found = torch.randn(ROWS, STEPS, WIDTH).bfloat16(), []
    for cell, given in ((exact, x.float()), (rough, x.clone())):
        y, state = cell(given.requires_grad_())
        assert y.dtype == given.dtype
        slopes = torch.autograd.grad(y, [given, *cell.parameters()], weights.to(y.dtype))
        found.append([y, cell(given, state)[0], *slopes])
        if entry.has_step:
            state, outputs = cell.initial_state(ROWS), []
            for x_t in given.unbind(1):
                y_t, state = cell.step(x_t, state)
                outputs.append(y_t)
            found[-1].append(torch.stack(outputs, 1))
            assert outputs[-1].dtype == given.dtype
        # what is summed up over time may stay in single precision
        kinds = {part.dtype for part in flatten(state) if part.is_floating_point()}
        assert kinds <= {given.dtype, torch.float32}
    for got, want in zip(*found[::-1], strict=True):
        error = (got.float() - want).norm() / want.norm().clamp_min(1e-3)
        assert error <= 0.1
