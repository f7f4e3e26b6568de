"""The fused gated recurrent unit against torch's own, in values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archsearch.kernels.compiled import compiled
from archsearch.kernels.recurrences import recurrence_cpu
from archsearch.kernels.recurrences.recurrence import gru
from archsearch.kernels.vector_math import hyperbolic, logistic

torch.set_num_threads(1)

# (B, T, I, W): one row, one step, odd everything, no multiple of a vector or of the unrolling
SHAPES = [(1, 1, 1, 1), (1, 9, 3, 5), (2, 1, 4, 4), (3, 17, 5, 7), (4, 33, 16, 32), (5, 8, 65, 66)]
NAMES = ["x", "h0", "weight", "recurrent", "bias", "inner_bias"]


def problem(shape, dtype=torch.float32, scale=1.0):
    rows, steps, inputs, width = shape
    torch.manual_seed(0)
    return [
        (scale * torch.randn(size, dtype=dtype)).requires_grad_()
        for size in (
            (rows, steps, inputs),
            (rows, width),
            (3 * width, inputs),
            (3 * width, width),
            (3 * width,),
            (width,),
        )
    ]


def layer(inputs):
    """torch.nn.GRU with the same weights."""
    x, _, weight, recurrent, bias, inner_bias = inputs
    found = torch.nn.GRU(x.shape[2], len(inner_bias), batch_first=True).to(x.dtype)
    with torch.no_grad():
        found.weight_ih_l0.copy_(weight)
        found.weight_hh_l0.copy_(recurrent)
        found.bias_ih_l0.copy_(bias)
        found.bias_hh_l0.copy_(torch.cat([torch.zeros(2 * len(inner_bias)), inner_bias]))
    return found


@pytest.fixture
def fused(monkeypatch):
    """How often the fused form ran."""
    calls = []
    apply = recurrence_cpu._GRU.apply
    monkeypatch.setattr(
        recurrence_cpu._GRU, "apply", lambda *given: calls.append(1) or apply(*given)
    )
    return calls


@pytest.mark.parametrize("scale", [0.3, 1.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_torchs_layer(shape, scale, fused):
    inputs = problem(shape, scale=scale)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got = gru(*inputs)
    want = gru(*exact)
    assert fused == [1]
    torch.testing.assert_close(want, layer(exact)(exact[0], exact[1][None])[0])
    torchs = gru.plain(*inputs)
    weight = torch.randn_like(got)
    found, theirs = (torch.autograd.grad(y, inputs, weight) for y in (got, torchs))
    expected = torch.autograd.grad(want, exact, weight.double())
    results = [(got, torchs, want), *zip(found, theirs, expected, strict=True)]
    for name, (ours, other, true) in zip(["y", *NAMES], results, strict=True):
        # a long recurrence makes the last bits large: as exact as torch is what can be asked
        error, allowed = ((part - true).abs().max() / true.abs().max() for part in (ours, other))
        assert error < 3 * allowed + 1e-6, name


def test_it_is_the_same_every_time():
    inputs = problem((4, 33, 16, 32))
    weight = torch.randn(4, 33, 32)
    runs = [torch.autograd.grad(gru(*inputs), inputs, weight) for _ in range(3)]
    assert all(torch.equal(x, y) for run in runs for x, y in zip(run, runs[0], strict=True))


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory(fused):
    x, h0, *weights = problem((3, 9, 5, 7))
    kept = [part.detach().clone() for part in (x, h0, *weights)]
    expected = gru(x, h0, *weights)
    x_moved = x.transpose(0, 1).contiguous().transpose(0, 1)
    h0_spaced = torch.stack([h0, h0], -1)[..., 0]
    weights[1] = weights[1].t().contiguous().t()
    moved = gru(x_moved, h0_spaced, *weights)
    torch.testing.assert_close(moved, expected)
    moved.sum().backward()  # a gradient without strides
    assert len(fused) == 2
    assert all(torch.equal(a, b) for a, b in zip((x, h0, *weights), kept, strict=True))


def test_saturated_gates_stay_finite(fused):
    inputs = problem((2, 400, 4, 8), scale=200.0)
    y = gru(*inputs)
    gradients = torch.autograd.grad(y, inputs, torch.ones_like(y))
    assert fused
    assert all(part.isfinite().all() for part in (y, *gradients))
    torch.testing.assert_close(y, gru.plain(*inputs), rtol=1e-3, atol=1e-3)


@compiled
def _activations(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> None:
    for i in range(len(x)):
        y[i] = logistic(x[i])
        z[i] = hyperbolic(x[i])


def test_activations_are_exact_everywhere():
    ends = torch.tensor([0.0, -0.0, 1e-30, 0.625, 88, 89, 1e4, -1e4, torch.inf, -torch.inf])
    x = torch.cat([torch.linspace(-100, 100, 200_001), torch.linspace(-1, 1, 10_001), ends])
    y, z = torch.empty_like(x), torch.empty_like(x)
    _activations(x.numpy(), y.numpy(), z.numpy())
    assert (y - torch.sigmoid(x.double())).abs().max() < 1.2e-7
    assert (z - torch.tanh(x.double())).abs().max() < 1.2e-7
    small = x.abs() < 0.5
    torch.testing.assert_close(z[small], torch.tanh(x[small]), rtol=3e-7, atol=0)
    missing = torch.full((33,), torch.nan)
    _activations(missing.numpy(), y[:33].numpy(), z[:33].numpy())
    assert y[:33].isnan().all()
    assert z[:33].isnan().all()


def test_a_gate_that_is_no_number_is_seen():
    inputs = problem((2, 5, 4, 8))
    for gate in range(3):
        broken = [part.detach().clone().requires_grad_() for part in inputs]
        with torch.no_grad():
            broken[4][8 * gate + 3] = torch.nan
        assert gru(*broken)[:, 0, 3].isnan().all()


def test_an_infinite_or_missing_number_is_not_hidden():
    for wrong in (float("nan"), float("inf")):
        x, *rest = problem((2, 5, 4, 8))
        with torch.no_grad():
            x[1, 2] = wrong
        fast, slow = gru(x, *rest), layer([x, *rest])(x, rest[0][None])[0]
        assert torch.equal(fast[1, 3:].isnan(), slow[1, 3:].isnan())
        assert not fast[0].isnan().any()


@pytest.mark.parametrize("shape", [(1, 1, 3, 129), (3, 9, 5, 130), (32, 7, 16, 160)], ids=str)
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_a_wide_one_equals_torchs_layer(shape, scale, fused):
    inputs = problem(shape, scale=scale)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got, want = gru(*inputs), gru(*exact)
    assert not fused
    weight = torch.randn_like(got)
    found = torch.autograd.grad(got, inputs, weight)
    theirs = torch.autograd.grad(gru.plain(*inputs), inputs, weight)
    expected = torch.autograd.grad(want, exact, weight.double())
    results = [(got, gru.plain(*inputs), want), *zip(found, theirs, expected, strict=True)]
    for name, (ours, other, true) in zip(["y", *NAMES], results, strict=True):
        error, allowed = ((part - true).abs().max() / true.abs().max() for part in (ours, other))
        assert error < 3 * allowed + 1e-6, name


def test_a_wide_one_may_lie_anyhow_in_memory(fused):
    x, h0, *weights = problem((3, 9, 5, 130), scale=0.1)
    expected = gru(x, h0, *weights)
    weights[1] = weights[1].t().contiguous().t()
    spaced = torch.stack([h0, h0], -1)[..., 0]
    moved = gru(x.transpose(0, 1).contiguous().transpose(0, 1), spaced, *weights)
    torch.testing.assert_close(moved, expected)
    moved.sum().backward()  # a gradient without strides
    assert h0.grad.isfinite().all()
    assert not fused


@pytest.mark.parametrize("what", ["evaluation", "double", "autocast", "compiled"])
def test_elsewhere_it_is_torchs_own_to_the_last_bit(what, fused):
    dtype = torch.float64 if what == "double" else torch.float32
    inputs = problem((2, 9, 5, 7), dtype)
    form = torch.compile(gru, backend="eager") if what == "compiled" else gru
    trained, cast = what != "evaluation", what == "autocast"
    with torch.set_grad_enabled(trained), torch.autocast("cpu", enabled=cast):
        got, want = form(*inputs), gru.plain(*inputs)
    assert not fused
    assert torch.equal(got, want)
