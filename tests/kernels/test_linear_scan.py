"""The scan's three orders of work against the loop that defines it, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels import linear_scan as module
from archsearch.kernels.linear_scan import linear_scan, linear_scan_reference

# (B, T, D): one row, one step, odd lengths, each order of work
SHAPES = [(1, 1, 1), (1, 7, 3), (2, 1, 5), (3, 33, 7), (1, 67, 1), (4, 131, 65), (3, 131, 900)]


def problem(shape, dtype, coefficients):
    rows, steps, units = shape
    torch.manual_seed(0)
    sizes = {
        "full": (rows, steps, units),
        "constant": (1, 1, units),
        "per step": (1, steps, units),
        "per row": (rows, 1, 1),
    }
    a = torch.randn(sizes[coefficients], dtype=dtype)
    a = a / a.abs().clamp_min(1.0)
    return [
        part.requires_grad_()
        for part in (a, torch.randn(shape, dtype=dtype), torch.randn(rows, units, dtype=dtype))
    ]


@pytest.mark.parametrize("coefficients", ["full", "constant", "per step", "per row"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_loop(shape, dtype, coefficients):
    inputs = problem(shape, dtype, coefficients)
    fast, slow = linear_scan(*inputs), linear_scan_reference(*inputs)
    torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-10)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, inputs, weight)
    for got, want in zip(torch.autograd.grad(fast, inputs, weight), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory():
    for shape in ((1, 9, 4), (4, 1, 9), (3, 40, 2)):
        a, b, h0 = (part.detach() for part in problem(shape, torch.float32, "full"))
        kept = [part.clone() for part in (a, b, h0)]
        expected = linear_scan(a, b, h0)
        for part, before in zip((a, b, h0), kept, strict=True):
            assert torch.equal(part, before)
        strided = b.permute(2, 0, 1).contiguous().permute(1, 2, 0)
        spaced = torch.stack([h0, h0], -1)[..., 0]
        assert torch.equal(linear_scan(a, strided, spaced), expected)


@pytest.mark.parametrize(("steps", "order"), [(5, "_loop"), (40, "_recurse"), (23, "_block")])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradcheck(steps, order, dtype, monkeypatch):
    monkeypatch.setattr(module, "SHORTEST_RECURSED", 30)
    monkeypatch.setattr(module, "SHORTEST_BLOCKED", 20)
    called = []
    inner = getattr(module, order)
    monkeypatch.setattr(module, order, lambda *parts: called.append(1) or inner(*parts))
    inputs = problem((2, steps, 3), dtype, "full")
    assert torch.autograd.gradcheck(linear_scan, inputs)
    assert called


def test_single_precision_holds_over_a_long_sequence():
    torch.manual_seed(0)
    a = torch.rand(2, 4097, 16) * 0.099 + 0.9
    b, h0 = torch.randn(2, 4097, 16), torch.randn(2, 16)
    exact = linear_scan_reference(a.double(), b.double(), h0.double())
    error = (linear_scan(a, b, h0) - exact).abs().max() / exact.abs().max()
    assert error < 1e-6
