"""The fused LSTM variants and the sLSTM against their plain loops, in values and gradients."""

from __future__ import annotations

import itertools

import pytest
import torch

from archsearch.kernels.recurrences import gated_cpu, slstm_cpu
from archsearch.kernels.recurrences.gated import lstm, slstm

torch.set_num_threads(1)

# heads, rows, steps, size: one of everything, odd everything, more rows than go together
SHAPES = [(1, 1, 1, 1), (1, 1, 9, 5), (2, 3, 17, 5), (4, 2, 1, 16), (1, 4, 33, 66), (2, 35, 6, 16)]
SHAPES += [(6, 2, 7, 3), (3, 2, 4, 8)]  # heads that share a vector, one that is left out
LSTMS = list(itertools.product(("own", "coupled", "none"), (True, False), (True, False)))


def drawn(sizes, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(size, dtype=torch.float64).to(dtype) for size in sizes]


def lstm_problem(shape, forget, peeping):
    heads, rows, steps, size = shape
    gates = 4 if forget == "own" else 3
    drives, h, c, matrix, peepholes = drawn(
        [
            (heads, rows, steps, gates * size),
            (heads, rows, size),
            (heads, rows, size),
            (heads, size, gates * size),
            (3, heads, size),
        ]
    )
    # no chaos: it would make the last bits large
    return drives, h, c, 0.5 * size**-0.5 * matrix, 0.5 * peepholes if peeping else None


def run_lstm(form, problem, dtype, forget, squash):
    *inputs, peepholes = problem
    given = [part.to(dtype, copy=True).requires_grad_() for part in inputs]
    drives, h, c, matrix = given
    if peepholes is None:
        seen = torch.zeros(3, *matrix.shape[:2], dtype=dtype)
    else:
        seen = peepholes.to(dtype, copy=True).requires_grad_()
        given.append(seen)
    y, last = form(drives, (h, c), matrix, seen, forget, squash)
    return [y, *last], given


def slstm_problem(shape, beginning):
    heads, rows, steps, size = shape
    drives, h, c, matrix = drawn(
        [(heads, rows, steps, 4 * size), *2 * [(heads, rows, size)], (heads, size, 4 * size)]
    )
    n, m = c.abs() + 1, torch.zeros_like(c)
    if beginning:
        c, n, m = torch.zeros_like(c), torch.zeros_like(n), torch.full_like(m, -torch.inf)
    return drives, h, c, n, 0.5 * size**-0.5 * matrix, m


def run_slstm(form, problem, dtype, sigmoid):
    given = [part.to(dtype, copy=True).requires_grad_() for part in problem]
    drives, h, c, n, matrix, m = given
    y, last = form(drives, (h, c, n, m), matrix, sigmoid)
    return [y, *last], given


def slopes(found, given):
    """Of a sum in which every element of every output has a weight of its own."""
    torch.manual_seed(1)
    parts = [part for part in found if part.requires_grad]
    weights = [torch.randn(part.shape, dtype=torch.float64).to(part.dtype) for part in parts]
    return torch.autograd.grad(parts, given, weights, allow_unused=True)


def compare(fused, plain, exact):
    """As exact as torch's own operations are, one rounding more or less."""
    for ours, other, true in zip(fused, plain, exact, strict=True):
        if true is None:
            assert ours is None or not ours.any()
            continue
        size = true.abs().max().clamp_min(1e-6)
        error, allowed = ((part - true).abs().max() / size for part in (ours, other))
        assert error < 3 * allowed + 2e-6


@pytest.fixture
def calls(monkeypatch):
    """The fused forms that ran."""
    seen = []
    for kind in (gated_cpu._LSTM, slstm_cpu._SLSTM):
        name, apply = kind.__name__, kind.apply
        monkeypatch.setattr(
            kind, "apply", lambda *given, name=name, apply=apply: seen.append(name) or apply(*given)
        )
    return seen


@pytest.mark.parametrize(("forget", "squash", "peeping"), LSTMS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lstm_equals_its_loop(shape, forget, squash, peeping, calls):
    problem = lstm_problem(shape, forget, peeping)
    runs = [
        run_lstm(form, problem, dtype, forget, squash)
        for form, dtype in (
            (lstm, torch.float32),
            (lstm.plain, torch.float32),
            (lstm.plain, torch.float64),
        )
    ]
    assert calls == ["_LSTM"]
    compare(*(found for found, _ in runs))
    compare(*(slopes(*run) for run in runs))


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("beginning", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_slstm_equals_its_loop(shape, beginning, sigmoid, calls):
    problem = slstm_problem(shape, beginning)
    runs = [
        run_slstm(form, problem, dtype, sigmoid)
        for form, dtype in (
            (slstm, torch.float32),
            (slstm.plain, torch.float32),
            (slstm.plain, torch.float64),
        )
    ]
    assert calls == ["_SLSTM"]
    compare(*(found for found, _ in runs))
    compare(*(slopes(*run) for run in runs))


def test_the_loop_is_torchs_lstm():
    problem = lstm_problem((1, 3, 11, 6), "own", False)
    (y, h, c), (drives, h0, c0, matrix) = run_lstm(lstm.plain, problem, torch.float64, "own", True)
    layer = torch.nn.LSTM(4 * 6, 6, batch_first=True).double()
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.eye(24))
        layer.weight_hh_l0.copy_(matrix[0].t())
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    expected, (h_n, c_n) = layer(drives[0], (h0, c0))
    torch.testing.assert_close([y[0], h, c], [expected, h_n, c_n])


@pytest.mark.parametrize(("forget", "squash", "peeping"), LSTMS)
def test_the_loop_has_true_gradients(forget, squash, peeping):
    problem = lstm_problem((2, 2, 4, 3), forget, peeping)
    _, given = run_lstm(lstm.plain, problem, torch.float64, forget, squash)
    seen = given[4] if peeping else torch.zeros(3, 2, 3, dtype=torch.float64)

    def of(drives, h, c, matrix, *_):
        return lstm(drives, (h, c), matrix, seen, forget, squash)[0]

    assert torch.autograd.gradcheck(of, given)


@pytest.mark.parametrize("kind", ["lstm", "slstm"])
def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(kind, calls):
    shape = (2, 3, 9, 5)

    def run(move):
        if kind == "lstm":
            problem = lstm_problem(shape, "own", True)
            return run_lstm(lstm, [move(part) for part in problem], torch.float32, "own", True)
        problem = slstm_problem(shape, False)
        return run_slstm(slstm, [move(part) for part in problem], torch.float32, True)

    def spaced(part):
        return torch.stack([part, part], -1)[..., 0]

    expected, given = run(lambda part: part)
    kept = [part.detach().clone() for part in given]
    slopes(expected, given)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))
    found, moved = run(spaced)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    found[0].sum().backward()  # a gradient without strides
    assert moved[0].grad is not None
    assert len(calls) == 2


@pytest.mark.parametrize("kind", ["lstm", "slstm"])
def test_a_cut_sequence_gives_the_same(kind):
    """What one part leaves is what the next begins with, gradients included."""
    shape = (2, 3, 12, 5)
    if kind == "lstm":
        drives, h, c, matrix, seen = (
            part.float().requires_grad_() for part in lstm_problem(shape, "own", True)
        )
        state = (h, c)

        def run(part, state):
            return lstm(part, state, matrix, seen, "own", True)
    else:
        *given, m = slstm_problem(shape, True)
        drives, h, c, n, matrix = (part.float().requires_grad_() for part in given)
        state = (h, c, n, m.float())

        def run(part, state):
            return slstm(part, state, matrix, True)

    whole, last = run(drives, state)
    first, between = run(drives[:, :, :5], state)
    second, end = run(drives[:, :, 5:], between)
    torch.testing.assert_close(torch.cat([first, second], 2), whole)
    torch.testing.assert_close(end, last)
    (once,) = torch.autograd.grad(whole.square().sum(), drives)
    (twice,) = torch.autograd.grad(torch.cat([first, second], 2).square().sum(), drives)
    torch.testing.assert_close(twice, once)


def test_a_gate_that_is_no_number_is_seen():
    for gate in range(4):
        drives, h, c, matrix, seen = (
            part.float().requires_grad_() for part in lstm_problem((1, 2, 3, 5), "own", True)
        )
        broken = drives.detach().clone().requires_grad_()
        with torch.no_grad():
            broken[:, :, 0, 5 * gate + 2] = torch.nan
        assert lstm(broken, (h, c), matrix, seen, "own", True)[0][:, :, 0, 2].isnan().all()
        *given, m = slstm_problem((1, 2, 3, 5), True)
        _, h, c, n, matrix = (part.float() for part in given)
        assert slstm(broken, (h, c, n, m.float()), matrix, True)[0][:, :, 0, 2].isnan().all()


def test_extreme_gates_stay_finite():
    *given, m = slstm_problem((1, 2, 300, 8), True)
    drives, h, c, n, matrix = (part.float().requires_grad_() for part in given)
    for sigmoid in (True, False):
        y, _ = slstm(200 * drives, (h, c, n, m.float()), matrix, sigmoid)
        (slope,) = torch.autograd.grad(y.sum(), drives)
        assert y.isfinite().all()
        assert slope.isfinite().all()
        expected, _ = slstm.plain(200 * drives, (h, c, n, m.float()), matrix, sigmoid)
        torch.testing.assert_close(y, expected, rtol=1e-3, atol=1e-3)


def test_what_is_not_trained_in_single_precision_is_left_to_torch(calls):
    problem = lstm_problem((1, 2, 3, 5), "own", False)
    run_lstm(lstm, problem, torch.float64, "own", True)
    with torch.no_grad():
        run_lstm(lstm, problem, torch.float32, "own", True)
    with torch.autocast("cpu", torch.bfloat16):
        run_lstm(lstm, problem, torch.float32, "own", True)
    assert calls == []
