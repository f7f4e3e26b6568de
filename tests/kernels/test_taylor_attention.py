"""The memory of Taylor features against its sums, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.taylor.taylor_attention import (
    taylor_attention,
    taylor_attention_reference,
)

# rows, positions, heads, sizes of a query and of a value, positions that may be written twice
SHAPES = [
    *((1, 1, 1, 1, 1, 1), (2, 37, 2, 8, 16, 10), (2, 33, 3, 4, 5, 33), (1, 21, 1, 3, 8, 5)),
    *((2, 18, 2, 12, 20, 17), (1, 40, 1, 16, 7, 3), (1, 5, 2, 8, 33, 2), (1, 4, 1, 17, 2, 4)),
    (3, 1, 2, 8, 16, 1),
]
FORMS = pytest.mark.parametrize(
    "form", [taylor_attention, taylor_attention.plain], ids=["compiled", "plain"]
)


def problem(shape, dtype=torch.float64):
    rows, steps, heads, size, values, reach = shape
    torch.manual_seed(0)
    memory = torch.randn(rows, heads, (size + 1) * (size + 2) // 2, values + 1, dtype=dtype)
    # a sum of keys of which every query's part is positive
    memory[..., -1] = 0
    memory[..., 0, -1] = 1
    return [
        0.7 * torch.randn(rows, steps, heads * (2 * size + values), dtype=dtype),
        0.7 * torch.randn(rows, reach, heads * (size + values), dtype=dtype),
        torch.randint(0, reach + 1, (rows,)),
        memory,
    ]


def compared(form, inputs, exact, within):
    """Values and gradients of ``form`` near those of the sums one position at a time."""
    runs = []
    for run, parts in ((form, inputs), (taylor_attention_reference, exact)):
        mixed, own, twice, memory = parts
        wanted = [part.clone().requires_grad_() for part in (mixed, own, memory)]
        found = run(wanted[0], wanted[1], twice, wanted[2])
        weights = [torch.cos(torch.arange(part.numel())).view(part.shape) for part in found]
        weights = [weight.to(mixed.dtype) for weight in weights]
        runs.append((*found, *torch.autograd.grad(found, wanted, weights)))
    for got, want in zip(*runs, strict=True):
        assert got.dtype == inputs[0].dtype
        assert (got - want).abs().max() <= within * want.abs().max()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@FORMS
def test_equals_its_sums(form, shape):
    inputs = problem(shape)
    compared(form, inputs, inputs, 1e-12)


@FORMS
def test_single_precision(form):
    inputs = problem((2, 150, 2, 8, 16, 16), torch.float32)
    exact = [part.double() if part.is_floating_point() else part for part in inputs]
    compared(form, inputs, exact, 2e-6)


@FORMS
def test_gradcheck(form):
    mixed, own, twice, memory = problem((2, 19, 1, 2, 2, 3))
    inputs = [part.requires_grad_() for part in (mixed, own, memory)]
    assert torch.autograd.gradcheck(lambda x, y, held: form(x, y, twice, held), inputs)


@FORMS
def test_inputs_may_lie_anyhow_in_memory(form):
    mixed, own, twice, memory = problem((3, 21, 2, 8, 16, 5))
    moved = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in (mixed, own, memory)]
    inputs = moved[0], moved[1], twice, moved[2]
    compared(form, inputs, (mixed, own, twice, memory), 1e-12)


@FORMS
def test_a_sum_too_small_to_divide_by_has_no_slope(form):
    mixed, own, twice, memory = problem((1, 3, 1, 8, 16, 1))
    memory[..., 0, -1] = -100.0
    compared(form, (mixed, own, twice, memory), (mixed, own, twice, memory), 1e-12)


def test_what_is_not_written_twice_changes_nothing():
    mixed, own, twice, memory = problem((2, 9, 2, 8, 16, 6))
    twice = torch.tensor([0, 4])
    own.requires_grad_()
    found = taylor_attention(mixed, own, twice, memory)
    (slopes,) = torch.autograd.grad([part.sum() for part in found], own)
    assert not slopes[0].any()
    assert not slopes[1, 4:].any()
    assert (slopes[1, :4] != 0).all()
