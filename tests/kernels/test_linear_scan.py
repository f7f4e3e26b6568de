"""The scan against the loop that defines it: values to the last bit, gradients, any layout."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.scans import scan_cpu, scan_lanes
from archsearch.kernels.scans.linear_scan import linear_scan, linear_scan_reference

NATIVE = [torch.float32, torch.float64, torch.complex64, torch.complex128]
# (B, T, inner ...): one row, one step, odd lengths, more than one block of a sum, no inner size
SHAPES = [
    *((1, 1, 1), (1, 7, 3), (2, 1, 5), (3, 33, 7), (4, 131, 17)),
    *((2, 9), (3, 65, 2, 3), (2, 5, 2, 1, 3)),
]


def problem(shape, dtype, shared=(), rows_first=True):
    """Coefficients within the unit disc, one in the dimensions that are ``shared``."""
    torch.manual_seed(0)
    a = torch.randn([1 if at in shared else size for at, size in enumerate(shape)], dtype=dtype)
    a = a / a.abs().clamp_min(1.0)
    b, h0 = torch.randn(shape, dtype=dtype), torch.randn(shape[:1] + shape[2:], dtype=dtype)
    if not rows_first:
        a, b = (x.transpose(0, 1).contiguous().transpose(0, 1) for x in (a, b))
    return [part.requires_grad_() for part in (a, b, h0)]


def sharings(shape):
    """Every set of dimensions in which coefficients may be shared."""
    return [
        tuple(at for at in range(len(shape)) if mask >> at & 1) for mask in range(1 << len(shape))
    ]


CASES = [(shape, shared) for shape in SHAPES for shared in sharings(shape)]


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("rows_first", [True, False], ids=["by row", "by step"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize(("shape", "shared"), CASES, ids=str)
def test_equals_the_loop(shape, shared, dtype, rows_first):
    inputs = problem(shape, dtype, shared, rows_first)
    fast, slow = linear_scan(*inputs), linear_scan_reference(*inputs)
    assert torch.equal(fast, slow)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, inputs, weight)
    for got, want in zip(torch.autograd.grad(fast, inputs, weight), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", NATIVE, ids=str)
def test_states_and_gradients_are_the_loops_to_the_last_bit_and_every_time(dtype):
    inputs = problem((3, 131, 65), dtype)
    fast, slow = linear_scan(*inputs), linear_scan_reference(*inputs)
    assert torch.equal(fast, slow)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, inputs, weight)
    for _ in range(2):
        found = torch.autograd.grad(linear_scan(*inputs), inputs, weight)
        if not dtype.is_complex:
            assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
        for got, want in zip(found, expected, strict=True):
            torch.testing.assert_close(got, want)
    once = torch.autograd.grad(linear_scan(*inputs), inputs, weight)
    assert all(torch.equal(x, y) for x, y in zip(found, once, strict=True))


# whole lanes: one row, one step, two, an odd number, and units in two dimensions
IN_LANES = [(1, 1, 16), (3, 1, 32), (1, 2, 16), (2, 2, 48), (3, 33, 16), (1, 70, 32), (2, 5, 4, 8)]


@pytest.mark.parametrize("rows_first", [True, False], ids=["by row", "by step"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", IN_LANES, ids=str)
def test_lanes_are_the_loop_to_the_last_bit(shape, dtype, rows_first):
    inputs = problem(shape, dtype, (), rows_first)
    plan = scan_cpu._plan(inputs[0].shape, inputs[1].shape, dtype)
    assert plan.forward is scan_lanes.forward
    fast, slow = linear_scan(*inputs), linear_scan_reference(*inputs)
    assert torch.equal(fast, slow)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, inputs, weight)
    for got, want in zip(torch.autograd.grad(fast, inputs, weight), expected, strict=True):
        assert torch.equal(got, want)


def test_factors_that_shrink_grow_or_turn_are_the_loops_to_the_last_bit():
    torch.manual_seed(0)
    a = torch.tensor([0.0, -1.0, 1e-38, -1.01, 1e20, 0.5, float("inf"), float("nan")])
    a = a.repeat(2).expand(2, 9, 16).clone().requires_grad_()
    b, h0 = (torch.randn(size, requires_grad=True) for size in ((2, 9, 16), (2, 16)))
    fast, slow = linear_scan(a, b, h0), linear_scan_reference(a, b, h0)
    weight = torch.randn_like(slow)
    found = fast, *torch.autograd.grad(fast, (a, b, h0), weight)
    expected = slow, *torch.autograd.grad(slow, (a, b, h0), weight)
    for got, want in zip(found, expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("units", [3, 16])
@pytest.mark.parametrize(("rows", "steps"), [(1, 5), (3, 1), (1, 1)])
def test_the_stride_of_a_dimension_of_one_means_nothing(rows, steps, units):
    inputs = problem((rows, steps, units), torch.float64)
    expected = linear_scan_reference(*inputs)
    weight = torch.randn_like(expected)
    slopes = torch.autograd.grad(expected, inputs, weight)

    def odd(x):
        strides = [
            7 if size == 1 else stride for size, stride in zip(x.shape, x.stride(), strict=True)
        ]
        return x.as_strided(x.shape, strides)

    moved = [odd(part.detach().clone()).requires_grad_() for part in inputs]
    found = linear_scan(*moved)
    assert torch.equal(found, expected)
    for got, want in zip(torch.autograd.grad(found, moved, odd(weight)), slopes, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shared", [(), (0, 1), (1, 2), (2,), (0,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradcheck(dtype, shared):
    assert torch.autograd.gradcheck(linear_scan, problem((2, 7, 3), dtype, shared))


@pytest.mark.parametrize("shared", [(), (0, 1), (2,)], ids=str)
def test_only_the_gradients_that_are_asked_for(shared):
    for wanted in range(3):
        inputs = [part.detach() for part in problem((2, 9, 4), torch.float64, shared)]
        inputs[wanted].requires_grad_()
        weight = torch.randn_like(inputs[1])
        (got,) = torch.autograd.grad(linear_scan(*inputs), inputs[wanted], weight)
        (want,) = torch.autograd.grad(linear_scan_reference(*inputs), inputs[wanted], weight)
        torch.testing.assert_close(got, want)


def test_inputs_are_left_alone_and_may_lie_anyhow_in_memory():
    for shape in ((1, 9, 4), (4, 1, 9), (3, 40, 2)):
        inputs = [part.detach() for part in problem(shape, torch.complex64)]
        kept = [part.clone() for part in inputs]
        a, b, h0 = inputs
        expected = linear_scan(a, b, h0)
        assert all(torch.equal(x, y) for x, y in zip(inputs, kept, strict=True))
        for order in ((2, 0, 1), (1, 2, 0), (0, 2, 1), (2, 1, 0)):
            back = [order.index(at) for at in range(3)]
            moved = b.permute(order).contiguous().permute(back)
            spaced = torch.stack([h0, h0], -1)[..., 0]
            assert torch.equal(linear_scan(a, moved, spaced), expected)
        part = torch.cat([b, b], -1)[..., : shape[-1]]
        assert torch.equal(linear_scan(a.conj().clone().conj(), part, h0), expected)


def test_a_gradient_may_lie_anyhow_in_memory():
    inputs = problem((3, 11, 4), torch.complex128)
    for total in (lambda h: h.sum().real, lambda h: h.mT.contiguous().sum(1).imag.prod()):
        found = torch.autograd.grad(total(linear_scan(*inputs)), inputs)
        expected = torch.autograd.grad(total(linear_scan_reference(*inputs)), inputs)
        for got, want in zip(found, expected, strict=True):
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0)], ids=str)
def test_nothing_in_nothing_out(shape):
    a, b, h0 = problem(shape, torch.float32, (0, 1))
    h = linear_scan(a, b, h0)
    assert h.shape == shape
    gradients = torch.autograd.grad(h.sum(), (a, b, h0))
    assert [part.shape for part in gradients] == [a.shape, b.shape, h0.shape]
    assert not any(part.any() for part in gradients)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_worked_in_single(half):
    inputs = [part.detach().to(half) for part in problem((2, 300, 5), torch.float32)]
    h = linear_scan(*inputs)
    assert h.dtype == half
    assert torch.equal(h, linear_scan(*(part.float() for part in inputs)).to(half))
    assert torch.equal(h, linear_scan_reference(*inputs))
    mixed = linear_scan(inputs[0].float().requires_grad_(), *inputs[1:])
    assert mixed.dtype == torch.float32
    mixed.sum().backward()


def test_autocast_leaves_the_state_in_single_precision():
    torch.manual_seed(0)
    x, weight = torch.randn(2, 200, 8), torch.randn(8, 8) / 8
    a, h0 = torch.full((1, 1, 8), 0.999), torch.zeros(2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        driven = x @ weight
        h = linear_scan(a, driven, h0)
    assert driven.dtype == torch.bfloat16
    assert h.dtype == torch.float32
    assert torch.equal(h, linear_scan_reference(a, driven.float(), h0))


def test_real_coefficients_may_drive_complex_states():
    a, _, _ = problem((2, 9, 4), torch.float64)
    _, b, h0 = problem((2, 9, 4), torch.complex128)
    fast, slow = linear_scan(a, b, h0), linear_scan_reference(a, b, h0)
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(slow)
    found = torch.autograd.grad(fast, (a, b, h0), weight)
    for got, want in zip(found, torch.autograd.grad(slow, (a, b, h0), weight), strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision_holds_over_a_long_sequence(dtype):
    torch.manual_seed(0)
    a = (torch.rand(1, 1, 16) * 0.099 + 0.9).to(dtype).requires_grad_()
    b, h0 = torch.randn(8, 4097, 16, dtype=dtype), torch.randn(8, 16, dtype=dtype)
    exact_a = a.detach().to(torch.promote_types(dtype, torch.float64)).requires_grad_()
    exact = linear_scan_reference(exact_a, b.to(exact_a.dtype), h0.to(exact_a.dtype))
    states = linear_scan(a, b, h0)
    assert (states - exact).abs().max() / exact.abs().max() < 1e-6
    weight = torch.randn_like(b)
    (got,) = torch.autograd.grad(states, a, weight)
    (want,) = torch.autograd.grad(exact, exact_a, weight.to(exact.dtype))
    assert (got - want).abs().max() / want.abs().max() < 2e-6


@pytest.mark.parametrize("size", [(2, 3, 2), (2, 5, 8), (2, 4), (3, 5, 4)], ids=str)
def test_shapes_that_do_not_fit_are_refused(size):
    b, h0 = torch.randn(2, 5, 4), torch.randn(2, 4)
    with pytest.raises(ValueError, match="do not fit"):
        linear_scan(torch.ones(size), b, h0)
    for other in ((2, 5), (1, 4), (4, 2)):
        with pytest.raises(ValueError, match="does not fit"):
            linear_scan(torch.ones(1, 1, 4), b, torch.randn(other))


def test_a_second_derivative_is_refused():
    a, b, h0 = problem((2, 3, 2), torch.float64)
    (first,) = torch.autograd.grad(linear_scan(a, b, h0).square().sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        first.sum().backward()
