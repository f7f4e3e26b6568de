"""Under autocast every linear cell computes in half precision and remembers in single."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.linear.declared import CELLS
from archsearch.testing.states import flatten

WIDTH, STEPS = 16, 300


@pytest.fixture(params=CELLS, ids=lambda entry: entry.name)
def cell(request):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return request.param.implementation()(WIDTH)


def test_states_stay_in_single_precision_and_outputs_near(cell):
    torch.manual_seed(1)
    x = torch.randn(2, STEPS, WIDTH)
    with torch.no_grad():
        exact, left = cell(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough, after = cell(x)
            _, stepped = cell.step(x[:, 0], after)
    first = next(iter(flatten(after)))
    assert first.dtype == torch.float32
    assert next(iter(flatten(stepped))).dtype == torch.float32
    # eight bits of each factor and input, but no drift over hundreds of steps
    for got, want in ((rough.float(), exact), (first, next(iter(flatten(left))))):
        assert ((got - want).norm() / want.norm()).item() < 0.05


def test_gradients_are_finite_in_half_precision(cell):
    torch.manual_seed(1)
    x = torch.randn(2, 40, WIDTH)
    with torch.autocast("cpu", torch.bfloat16):
        loss = cell(x)[0].float().square().mean()
    loss.backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in cell.parameters())
