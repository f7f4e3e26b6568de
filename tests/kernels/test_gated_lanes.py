"""Memories in lanes under gates against their recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.lanes.gated_lanes import gated, gated_lanes
from archsearch.kernels.memories.lanes.lane_memory import lane_memory_reference

# (B, T, H, D, J): less than a chunk, whole chunks, more; less than a vector of numbers, more
SHAPES = [
    *((1, 1, 1, 1, 1), (2, 16, 2, 4, 2), (2, 37, 3, 5, 3), (1, 70, 2, 16, 1)),
    *((2, 33, 2, 17, 2), (1, 18, 1, 32, 4), (2, 19, 2, 3, 8)),
]
FORMS = pytest.mark.parametrize("form", [gated_lanes, gated_lanes.plain], ids=["compiled", "plain"])
MODES = pytest.mark.parametrize("shared", [True, False], ids=["propagate", "diffuse"])


def problem(shape, shared=True, dtype=torch.float64, spread=0.7):
    rows, steps, heads, size, lanes = shape
    torch.manual_seed(0)
    parts = 3 * lanes + 1 + (lanes**2 if shared else 0)
    sizes = (
        *((rows, steps, 3 * heads * size), (rows, steps, heads * parts)),
        (rows, heads, lanes, size, size),
    )
    mixed, gates, memory = (torch.randn(size, dtype=dtype) for size in sizes)
    return [part.requires_grad_() for part in (mixed, spread * gates, memory)]


def reference(mixed, gates, memory):
    return lane_memory_reference(*gated(mixed, gates, *memory.shape[1:3]), memory)


def compared(form, inputs, within):
    exact = [part.detach().double().requires_grad_() for part in inputs]
    fast, slow = form(*inputs), reference(*exact)
    weights = [torch.randn_like(part) for part in slow]
    given = [part.to(fast[0].dtype) for part in weights]
    got = torch.autograd.grad(fast, inputs, given)
    # a single step reads before it writes, so not every input matters
    want = torch.autograd.grad(slow, exact, weights, allow_unused=True)
    for one, other in zip((*fast, *got), (*slow, *want), strict=True):
        assert one.dtype == inputs[0].dtype
        assert (one - other).abs().max() <= within * other.abs().max()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@MODES
@FORMS
def test_equals_the_recurrence(form, shape, shared):
    compared(form, problem(shape, shared), 1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_in_single_precision(shape):
    compared(gated_lanes, problem(shape, dtype=torch.float32), 1e-5)


@MODES
def test_gradcheck(shared):
    assert torch.autograd.gradcheck(gated_lanes, problem((2, 19, 1, 2, 2), shared))


@FORMS
def test_inputs_are_read_where_they_lie(form):
    mixed, gates, memory = problem((3, 20, 2, 16, 2))
    both = torch.cat([mixed, gates], -1).detach().transpose(0, 1).contiguous().requires_grad_()
    parts = both.transpose(0, 1).split([mixed.shape[-1], gates.shape[-1]], -1)
    turned = memory.detach().transpose(-1, -2).contiguous().transpose(-1, -2)
    fast, slow = form(*parts, turned), reference(mixed, gates, memory)
    weight = torch.randn_like(slow[0])
    (got,) = torch.autograd.grad(fast[0], both, weight)
    want = torch.cat(torch.autograd.grad(slow[0], (mixed, gates), weight), -1)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(got.transpose(0, 1), want)


@pytest.mark.parametrize("shape", [(3, 1, 2, 16, 2), (1, 1, 1, 5, 2), (1, 2, 1, 16, 1)], ids=str)
def test_few_positions_that_lie_oddly(shape):
    def oddly(part):
        # how far apart a single row lies says nothing
        apart = zip(part.shape, part.stride(), strict=True)
        steps = [step if size > 1 else 7 for size, step in apart]
        return part.detach().as_strided(part.shape, steps).requires_grad_()

    compared(gated_lanes, [oddly(part) for part in problem(shape)], 1e-9)


@pytest.mark.parametrize("place", [0, 16, 32], ids=["query", "key", "value"])
@FORMS
def test_a_missing_number_stays_in_its_future(form, place):
    mixed, gates, memory = problem((1, 40, 1, 16, 2))
    with torch.no_grad():
        mixed[0, 20, place] = torch.nan
    out, _ = form(mixed, gates, memory)
    assert out[0, :20].isfinite().all()
    assert out[0, 20].isnan().any()


@FORMS
def test_one_slope_for_all_positions(form):
    inputs = problem((2, 21, 2, 16, 2))
    weight = torch.randn(2, 1, 2, 16, dtype=torch.float64).expand(2, 21, 2, 16)
    got = torch.autograd.grad(form(*inputs)[0], inputs, weight)
    want = torch.autograd.grad(reference(*inputs)[0], inputs, weight)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("spread", [30.0, 1e4])
def test_gates_that_saturate(spread):
    inputs = problem((2, 50, 2, 16, 2), dtype=torch.float32)
    with torch.no_grad():
        # strengths and shares; sources and marks would only grow
        inputs[1].view(2, 50, 2, 11)[..., 4:6].mul_(spread)
        inputs[1].view(2, 50, 2, 11)[..., 7:].mul_(spread)
    compared(gated_lanes, inputs, 1e-5)


def test_a_missing_number_is_not_lost():
    mixed, gates, memory = problem((1, 40, 1, 16, 2), dtype=torch.float32)
    with torch.no_grad():
        gates[0, 20, 4] = torch.nan
    out, left = gated_lanes(mixed, gates, memory)
    assert out[0, :21].isfinite().all()
    assert out[0, 21:].isnan().all()
    assert left.isnan().any()


def test_who_is_only_evaluated_gets_the_plain_form():
    inputs = [part.detach() for part in problem((2, 37, 3, 5, 3))]
    for one, other in zip(gated_lanes(*inputs), gated_lanes.plain(*inputs), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("size", [5, 16])
def test_a_missing_number_has_no_slope_in_other_rows(size, lanes):
    inputs = problem((3, 37, 2, size, lanes))
    found = []
    for number in (1.0, torch.nan):
        with torch.no_grad():
            inputs[0][1, 20] = number
        out, left = gated_lanes(*inputs)
        slopes = torch.autograd.grad(out[::2].sum() + left[::2].sum(), inputs)
        found.append([part[::2] for part in slopes])
    torch.testing.assert_close(*found)
