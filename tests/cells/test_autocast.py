"""Under autocast every cell answers, steps and learns, near what it does in single precision."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.declared import CELLS
from archsearch.plugins import implementation
from archsearch.testing.states import flatten
from archsearch.testing.variants import variants

ROWS, STEPS, WIDTH = 2, 7, 16
CASES = [(entry, options) for entry in CELLS for options in variants(entry)]
# one bit more or less of a score chooses another position, or the sign of a key of one number
CHOOSES = {"deltanet", "gated_deltanet", "deltaproduct", "routing", "seqboat", "moneta", "yaad"}


# torch says that its norm is slower so
@pytest.mark.filterwarnings("ignore:Mismatch dtype")
@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("entry", "options"), CASES, ids=lambda part: getattr(part, "name", ""))
def test_half_precision(entry, options, kind):
    torch.manual_seed(0)
    x, found = torch.randn(ROWS, STEPS, WIDTH), []
    for half in (False, True):
        torch.manual_seed(1)
        cell = implementation(entry)(WIDTH, **options)
        torch.manual_seed(2)
        given = x.clone().requires_grad_()
        with torch.autocast("cpu", kind, enabled=half):
            y, state = cell(given)
            if entry.has_step:
                _, stepped = cell.step(given[:, 0], state)
                assert all(part.isfinite().all() or not half for part in flatten(stepped))
        slopes = torch.autograd.grad(y.float().square().sum(), [given, *cell.parameters()],
                                     allow_unused=True)  # fmt: skip
        assert all(slope is None or slope.isfinite().all() for slope in slopes)
        found.append(y.detach().float())
    if entry.name not in CHOOSES:
        assert (found[1] - found[0]).norm() <= 0.1 * found[0].norm()


@pytest.mark.parametrize("entry", CELLS, ids=lambda entry: entry.name)
def test_another_default_precision(entry, monkeypatch):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        y, _ = implementation(entry)(WIDTH)(torch.randn(ROWS, STEPS, WIDTH))
    finally:
        torch.set_default_dtype(before)
    assert y.dtype == torch.float64
