"""The levels of a TrellisNet in compiled loops against their plain form."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.choose import VARIABLE
from archsearch.kernels.convolutions import trellis_levels_cpu
from archsearch.kernels.convolutions.trellis_levels import trellis_levels

torch.set_num_threads(1)

# rows, steps, width: one of everything, fewer steps than a dilation, more than a stretch
SHAPES = [(1, 1, 16), (3, 2, 48), (5, 23, 32), (2, 131, 16), (1, 64, 64)]
DILATIONS = [(1, 1), (1, 1, 1, 1, 1), (1, 2, 1, 2), (1, 2, 4, 1)]


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    seen = []
    apply = trellis_levels_cpu._Levels.apply
    monkeypatch.setattr(
        trellis_levels_cpu._Levels, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


def problem(shape, dilations):
    """Steps first in memory; weights large enough for gates to close."""
    rows, steps, width = shape
    torch.manual_seed(0)
    scale = width**-0.5
    weights = [scale * torch.randn(2, width, 4 * width) for _ in range(2)]
    states = [torch.randn(rows, far, width) for far in dilations[1:] for _ in range(2)]
    x = torch.randn(steps, rows, width).transpose(0, 1)
    return [x, torch.randn(rows, max(dilations), width), *weights, torch.randn(4 * width), *states]


def run(form, inputs, dilations, dtype):
    """Everything that comes out, and slopes of a sum where each element has its own weight."""
    given = [part.detach().to(dtype).requires_grad_() for part in inputs]
    x, past, inject, hidden, bias, *states = given
    levels = list(zip(states[::2], states[1::2], strict=True))
    y, kept = form(x, past, levels, inject, hidden, bias, dilations)
    found = [y, *(part for pair in kept for part in pair)]
    torch.manual_seed(1)
    weights = [torch.randn(part.shape, dtype=torch.float64).to(dtype) for part in found]
    return [*found, *torch.autograd.grad(found, given, weights, allow_unused=True)]


@pytest.mark.parametrize("dilations", DILATIONS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loops_equal_the_plain_form(shape, dilations, calls):
    inputs = problem(shape, dilations)
    kept = [part.clone() for part in inputs]
    ours, plain, exact = (
        run(form, inputs, dilations, dtype)
        for form, dtype in (
            (trellis_levels, torch.float32),
            (trellis_levels.plain, torch.float32),
            (trellis_levels.plain, torch.float64),
        )
    )
    assert calls == [1]
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))
    for found, other, true in zip(ours, plain, exact, strict=True):
        if true is None:
            assert found is None or not found.any()
            continue
        assert found.shape == true.shape
        scale = true.abs().max().clamp_min(1e-6)
        error, allowed = ((part - true).abs().max() / scale for part in (found, other))
        assert error < 4 * allowed + 4e-6


def test_what_is_no_number_reaches_what_the_plain_form_lets_it_reach(calls):
    inputs = problem((3, 80, 16), (1, 2, 1))
    inputs[0] = inputs[0].clone()
    inputs[0][1, 70] = torch.nan

    def reached(form):
        given = [part.detach().requires_grad_() for part in inputs]
        x, past, inject, hidden, bias, *states = given
        levels = list(zip(states[::2], states[1::2], strict=True))
        y, _ = form(x, past, levels, inject, hidden, bias, (1, 2, 1))
        y[:, :60].sum().backward()
        return y.isnan().any(-1), x.grad.isnan().any(-1)

    missing, slopes = reached(trellis_levels)
    assert calls == [1]
    assert missing.nonzero().tolist() == [[1, t] for t in range(70, 75)]
    plain_missing, plain_slopes = reached(trellis_levels.plain)
    assert torch.equal(missing, plain_missing)
    assert torch.equal(slopes, plain_slopes)


def test_what_the_loops_do_not_fit_is_left_to_torch(calls):
    run(trellis_levels, problem((2, 5, 20), (1, 1)), (1, 1), torch.float32)
    run(trellis_levels, problem((2, 5, 16), (1, 1)), (1, 1), torch.float64)
    run(trellis_levels, problem((2, 5, 16), (1,)), (1,), torch.float32)
    with torch.no_grad():
        x, past, inject, hidden, bias, *states = problem((2, 5, 16), (1, 1))
        trellis_levels(x, past, [tuple(states)], inject, hidden, bias, (1, 1))
    assert calls == []
