"""The chunkwise memory with factors of either sign against its recurrence."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.signed_attention import (
    signed_attention,
    signed_attention_reference,
)

SHAPES = [(1, 1, 1, 1, 1), (1, 16, 2, 3, 4), (2, 37, 3, 4, 5), (1, 130, 2, 4, 4)]
FORMS = pytest.mark.parametrize(
    "form", [signed_attention, signed_attention.plain], ids=["compiled", "plain"]
)


def problem(shape, per_head):
    rows, steps, heads, key, value = shape
    torch.manual_seed(0)
    size = (rows, steps, heads) if per_head else (rows, steps, heads, key)
    parts = (
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, value),
        2 * torch.rand(size) - 1,
        torch.randn(rows, heads, key, value),
    )
    return [part.double().requires_grad_() for part in parts]


@pytest.mark.parametrize("per_head", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@FORMS
def test_equals_the_recurrence(form, shape, per_head):
    inputs = problem(shape, per_head)
    fast, slow = form(*inputs), signed_attention_reference(*inputs)
    weights = [torch.randn_like(part) for part in slow]
    expected = torch.autograd.grad(slow, inputs, weights)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    for got, want in zip(torch.autograd.grad(fast, inputs, weights), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_positive_factors_give_linear_attention():
    q, k, v, factor, memory = (part.detach() for part in problem((2, 37, 3, 4, 5), False))
    factor = factor.abs().clamp_min(0.1)
    for got, want in zip(
        signed_attention(q, k, v, factor, memory),
        linear_attention(q, k, v, factor.log(), memory),
        strict=True,
    ):
        torch.testing.assert_close(got, want)


def test_a_factor_of_minus_one_flips_the_memory():
    memory = torch.randn(1, 1, 2, 3)
    nothing = torch.zeros(1, 5, 1, 2)
    q = torch.tensor([1.0, 0.0]).expand(1, 5, 1, 2)
    factor = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0])[None, :, None]
    out, left = signed_attention(q, nothing, torch.zeros(1, 5, 1, 3), factor, memory)
    signs = torch.tensor([-1.0, -1.0, 1.0, -1.0, -1.0])
    torch.testing.assert_close(out[0, :, 0], signs[:, None] * memory[0, 0, 0])
    torch.testing.assert_close(left, -memory)
