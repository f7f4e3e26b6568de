"""Steps that attend to their last outputs in compiled loops against the same taken one by one."""

from __future__ import annotations

import copy

import pytest
import torch

from archsearch.cells.recurrent.attentive_rnn import AttentiveRNN
from archsearch.kernels.choose import VARIABLE
from archsearch.kernels.recurrences.attentive import attentive_cpu
from archsearch.sparsity.thinned import Thresholded
from archsearch.testing.states import flatten

torch.set_num_threads(1)

# width, heads, window: heads smaller than lanes, as large, larger; windows up to and beyond lanes
SIZES = [(16, 4, 3), (48, 1, 20), (32, 2, 16), (64, 2, 2)]
# rows, steps, steps before: one of everything, odd everything, more steps than the window both ways
SHAPES = [(1, 2, 0), (3, 2, 2), (1, 7, 1), (5, 23, 0), (2, 9, 30)]


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    seen = []
    apply = attentive_cpu._Steps.apply
    monkeypatch.setattr(
        attentive_cpu._Steps, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


def drawn(core, width, heads, window):
    torch.manual_seed(0)
    cell = AttentiveRNN(width, core, window=window, heads=heads)
    with torch.no_grad():
        cell.bias.normal_()
    return cell


def nested(state, change):
    if isinstance(state, torch.Tensor):
        return change(state)
    return tuple(nested(part, change) for part in state)


def trained(cell, x, state, dtype, forward):
    """Outputs, states and slopes of a sum in which every element has a weight of its own."""
    cell = copy.deepcopy(cell).to(dtype)
    x = x.to(dtype, copy=True).requires_grad_()
    state = nested(state, lambda part: part.to(dtype, copy=True).requires_grad_())
    y, after = forward(cell)(x, state)
    found = [y, *flatten(after)]
    torch.manual_seed(1)
    weights = [torch.randn(part.shape, dtype=torch.float64).to(dtype) for part in found]
    given = [x, *flatten(state), *cell.parameters()]
    slopes = torch.autograd.grad(found, given, weights, allow_unused=True)
    return [*found, *slopes]


@pytest.mark.parametrize("core", ["gru", "lstm", "rnn"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loops_equal_the_steps(core, size, shape, calls):
    cell, (rows, steps, before) = drawn(core, *size), shape
    with torch.no_grad():
        state = cell.initial_state(rows)
        if before:
            state = cell(torch.randn(rows, before, size[0]), state)[1]
    # steps first in memory
    x = torch.randn(steps, rows, size[0]).transpose(0, 1)
    ours, plain, exact = (
        trained(cell, x, state, dtype, forward)
        for dtype, forward in (
            (torch.float32, lambda cell: cell),
            (torch.float32, lambda cell: cell._repeated),
            (torch.float64, lambda cell: cell._repeated),
        )
    )
    assert calls == [1]
    for found, other, true in zip(ours, plain, exact, strict=True):
        if true is None:
            assert found is None or not found.any()
            continue
        assert found.shape == true.shape
        scale = true.abs().max().clamp_min(1e-6) if true.numel() else 1.0
        error, allowed = (((part - true).abs() / scale).sum() for part in (found, other))
        assert error < 4 * allowed + 4e-6 * max(true.numel(), 1)


def test_what_is_no_number_reaches_no_output_before_it_and_no_other_row(calls):
    cell = drawn("gru", 32, 2, 4)
    x = torch.randn(3, 12, 32)
    x[1, 5] = torch.nan
    y, _ = cell(x.requires_grad_())
    missing = y.isnan().any(-1)
    assert missing[1].tolist() == [False] * 5 + [True] * 7
    assert not missing[[0, 2]].any()
    y[:, :5].sum().backward()
    assert calls == [1]
    reached = x.grad.isnan().any(-1)
    assert not reached[[0, 2]].any()
    torch.testing.assert_close(reached, _reached(cell, x))


def _reached(cell, x):
    x = x.detach().clone().requires_grad_()
    y, _ = cell._repeated(x, cell.initial_state(len(x)))
    y[:, :5].sum().backward()
    return x.grad.isnan().any(-1)


def test_large_scores_stay_finite_and_inputs_are_left_alone(calls):
    cell = drawn("gru", 32, 2, 8)
    with torch.no_grad():
        cell.seen.weight.mul_(1e4)
        state = cell(torch.randn(2, 5, 32))[1]
    kept = [part.clone() for part in flatten(state)]
    x = (100 * torch.randn(2, 20, 32)).requires_grad_()
    y, _ = cell(x, state)
    y.sum().backward()
    assert calls == [1]
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(torch.equal(a, b) for a, b in zip(flatten(state), kept, strict=True))
    torch.testing.assert_close(y, cell._repeated(x, state)[0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("width", [20, 528])
def test_other_widths_are_left_to_the_steps(width, calls):
    drawn("gru", width, 2, 4)(torch.randn(2, 3, width, requires_grad=True))
    assert calls == []


def test_one_step_and_what_is_not_trained_in_single_precision_is_left_to_the_steps(calls):
    cell = drawn("gru", 16, 2, 4)
    cell(torch.randn(2, 1, 16, requires_grad=True))
    with torch.no_grad():
        cell(torch.randn(2, 3, 16))
    cell.double()(torch.randn(2, 3, 16, dtype=torch.float64, requires_grad=True))
    assert calls == []


def test_an_output_map_that_reads_part_of_its_input_is_called(calls):
    cell = drawn("gru", 16, 2, 4)
    x = torch.randn(2, 9, 16, requires_grad=True)
    expected = cell(x)[0]
    assert calls == [1]
    cell.output = Thresholded(cell.output)
    torch.testing.assert_close(cell(x)[0], expected)
    cell.output.threshold.fill_(torch.inf)
    heard_nothing = cell.eval()(x)[0]
    assert calls == [1]
    torch.testing.assert_close(heard_nothing, cell.core(x)[0])
