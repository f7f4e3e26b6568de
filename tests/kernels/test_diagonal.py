"""Fused diagonal recurrences against their plain loops, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.recurrences import diagonal_cpu
from archsearch.kernels.recurrences.diagonal import diagonal_gru, diagonal_lstm

torch.set_num_threads(1)

KERNELS = {"gru": diagonal_gru, "lstm": diagonal_lstm}
# rows, steps, width: one of everything, no multiple of lanes, several units or rows at once with
# some left, more steps than are summed at once, and few rows that Newton's method would solve
SHAPES = [(1, 1, 1), (2, 9, 5), (3, 1, 16), (6, 17, 16), (2, 130, 66), (5, 65, 128), (1, 300, 32)]
each = pytest.mark.parametrize("kind", KERNELS)


def problem(kind, shape):
    """Drives, bias, recurrent weights and a state."""
    rows, steps, width = shape
    torch.manual_seed(0)
    gated = {"gru": (3, 1), "lstm": (5, 2)}
    weights, states = gated[kind]
    sizes = [(rows, steps, 3 * width), (3 * width,), (weights, width), *states * [(rows, width)]]
    return [torch.randn(size, dtype=torch.float64) for size in sizes]


def run(form, given, dtype):
    inputs = [part.to(dtype, copy=True).requires_grad_() for part in given]
    found = form(*inputs)
    return list(found) if isinstance(found, tuple) else [found], inputs


def slopes(found, inputs):
    """Of a sum in which every element of every output has a weight of its own."""
    torch.manual_seed(1)
    weights = [torch.randn(part.shape, dtype=torch.float64).to(part.dtype) for part in found]
    return torch.autograd.grad(found, inputs, weights)


def compare(fused, plain, exact):
    """As exact as torch's own operations are, one rounding more or less."""
    for ours, other, true in zip(fused, plain, exact, strict=True):
        size = true.abs().max().clamp_min(1e-6)
        error, allowed = ((part - true).abs().max() / size for part in (ours, other))
        assert error < 3 * allowed + 2e-6


@pytest.fixture
def calls(monkeypatch):
    """The fused forms that ran."""
    seen = []
    for name in ("_GRU", "_LSTM"):
        kind = getattr(diagonal_cpu, name)
        apply = kind.apply
        monkeypatch.setattr(
            kind, "apply", lambda *given, name=name, apply=apply: seen.append(name) or apply(*given)
        )
    return seen


@each
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_fused_form_equals_the_plain_one(kind, shape, calls):
    given, form = problem(kind, shape), KERNELS[kind]
    runs = [
        run(form, given, torch.float32),
        run(form.plain, given, torch.float32),
        run(form.plain, given, torch.float64),
    ]
    assert calls == [f"_{kind.upper()}"]
    compare(*(found for found, _ in runs))
    compare(*(slopes(*ran) for ran in runs))


@each
def test_the_plain_form_has_true_gradients(kind):
    _, inputs = run(KERNELS[kind].plain, problem(kind, (2, 4, 3)), torch.float64)
    assert torch.autograd.gradcheck(KERNELS[kind], inputs)


@each
def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(kind, calls):
    given = problem(kind, (3, 9, 32))
    expected, inputs = run(KERNELS[kind], given, torch.float32)
    before = [part.detach().clone() for part in inputs]
    wanted = slopes(expected, inputs)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))
    spaced = [torch.stack([part, part], -1)[..., 0].detach().requires_grad_() for part in inputs]
    assert not spaced[0].is_contiguous()
    found = KERNELS[kind](*spaced)
    found = list(found) if isinstance(found, tuple) else [found]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(slopes(found, spaced), wanted, rtol=0, atol=0)
    found = KERNELS[kind](*spaced)
    (found[0] if isinstance(found, tuple) else found).sum().backward()  # without strides
    assert spaced[0].grad is not None
    assert len(calls) == 3


@each
def test_a_cut_sequence_gives_the_same(kind):
    """What one part leaves is what the next begins with, gradients included."""
    _, (drives, bias, weights, *state) = run(
        KERNELS[kind], problem(kind, (3, 12, 20)), torch.float32
    )

    def part(drives, state):
        if kind == "gru":
            y = diagonal_gru(drives, bias, weights, *state)
            return y, (y[:, -1],)
        y, c = diagonal_lstm(drives, bias, weights, *state)
        return y, (y[:, -1], c)

    whole, last = part(drives, state)
    first, between = part(drives[:, :5], state)
    second, end = part(drives[:, 5:], between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(end, last)
    inputs = drives, bias, weights, *state
    once = torch.autograd.grad(whole.square().sum(), inputs)
    twice = torch.autograd.grad(torch.cat([first, second], 1).square().sum(), inputs)
    torch.testing.assert_close(twice, once, rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("gate", range(3))
def test_a_drive_that_is_no_number_stays_with_its_unit_and_row(kind, gate):
    given, (row, step, unit) = problem(kind, (5, 9, 16)), (2, 4, 3)
    given[0][row, step, 16 * gate + unit] = torch.nan
    (y, *_), inputs = run(KERNELS[kind], given, torch.float32)
    expected = torch.zeros(y.shape, dtype=torch.bool)
    expected[row, step:, unit] = True
    assert torch.equal(y.isnan(), expected)
    y[:, :step].sum().backward()
    assert inputs[0].grad[:row].isfinite().all()
    assert inputs[0].grad[row + 1 :].isfinite().all()


@each
def test_extreme_drives_stay_finite(kind):
    given = problem(kind, (2, 100, 16))
    given[0] *= 300
    found, inputs = run(KERNELS[kind], given, torch.float32)
    expected, _ = run(KERNELS[kind].plain, given, torch.float32)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert all(slope.isfinite().all() for slope in slopes(found, inputs))


@each
def test_what_is_not_trained_in_single_precision_is_left_to_torch(kind, calls):
    given = problem(kind, (1, 3, 16))
    run(KERNELS[kind], given, torch.float64)
    with torch.no_grad():
        run(KERNELS[kind], given, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        run(KERNELS[kind], given, torch.float32)
    assert calls == []
