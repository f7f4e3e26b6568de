"""Short inputs, however they lie in memory: every cell's fast form beside its plain one."""

from __future__ import annotations

import copy

import pytest
import torch

from archsearch.errors import ArchitectureError
from archsearch.kernels.choose import VARIABLE
from archsearch.plugins import implementation, load_catalog
from archsearch.testing.states import flatten
from archsearch.testing.variants import variants

torch.set_num_threads(1)

CATALOG = load_catalog()
WIDTH = 16


def trained(cell, x, state):
    """Outputs, state and gradients of one pass; some cells draw, some learn as they look."""
    cell, x = copy.deepcopy(cell), x.detach().requires_grad_()
    torch.manual_seed(1)
    y, after = cell(x) if state is None else cell(x, state)
    (y * torch.cos(torch.arange(y.numel())).view_as(y)).sum().backward()
    gradients = [part.grad for part in (x, *cell.parameters()) if part.grad is not None]
    return [y, *flatten(after), *gradients]


def laid_anyhow(rows: int, steps: int) -> torch.Tensor:
    """The strides of a dimension of one say nothing of where the others lie."""
    return torch.randn(steps, rows, WIDTH).transpose(0, 1)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize(
    ("rows", "steps"), [(3, 1), (1, 1), (3, 2), (2, 19)], ids=lambda size: str(size)
)
@pytest.mark.parametrize("name", CATALOG.names("cell"))
def test_fast_and_plain_forms_agree(name, rows, steps, monkeypatch):
    declared = CATALOG.find("cell", name)
    for options in variants(declared):
        torch.manual_seed(0)
        cell = implementation(declared)(WIDTH, **options)
        with torch.no_grad():
            states = None, copy.deepcopy(cell)(torch.randn(rows, 3, WIDTH))[1]
        for state in states:
            x, runs = laid_anyhow(rows, steps), []
            for kernels in ("", "plain"):
                monkeypatch.setenv(VARIABLE, kernels)
                runs.append(trained(cell, x, state))
            for fast, plain in zip(*runs, strict=True):
                assert fast.shape == plain.shape
                torch.testing.assert_close(
                    fast, plain, rtol=1e-3, atol=1e-3 * _size(plain) + 1e-5, equal_nan=True
                )


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", CATALOG.names("cell"))
def test_a_state_of_other_rows_is_refused(name, rows):
    """What is left of a data set makes a smaller batch; loops would read on behind its end."""
    cell = implementation(CATALOG.find("cell", name))(WIDTH)
    state = cell.initial_state(rows)
    if not list(flatten(state)):
        pytest.skip("has no state")
    for given in ((state,), ()):
        named = {} if given else {"state": state}
        with pytest.raises(ArchitectureError, match=f"a state of {rows} rows .* a batch of 2$"):
            cell(torch.randn(2, 5, WIDTH), *given, **named)


def _size(x: torch.Tensor) -> float:
    return float(x.detach().abs().max()) if x.numel() else 0.0
