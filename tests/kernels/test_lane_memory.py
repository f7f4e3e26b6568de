"""The chunkwise memories in lanes against their recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.lanes.lane_memory import lane_memory, lane_memory_reference
from archsearch.kernels.memories.linear_attention import linear_attention

# (B, T, H, K, V, J)
SHAPES = [(1, 1, 1, 1, 1, 1), (1, 16, 2, 3, 4, 2), (2, 37, 3, 4, 5, 3), (1, 70, 2, 4, 4, 1)]


def problem(shape):
    rows, steps, heads, key, value, lanes = shape
    torch.manual_seed(0)
    transition = torch.randn(rows, steps, heads, lanes, lanes)
    parts = (
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, value),
        torch.randn(rows, steps, heads, lanes),
        transition / transition.abs().sum(-2, keepdim=True),
        torch.randn(rows, steps, heads, lanes),
        torch.randn(rows, steps, heads),
        torch.randn(rows, heads, lanes, key, value),
    )
    return [part.double().requires_grad_() for part in parts]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_recurrence(shape):
    inputs = problem(shape)
    fast, slow = lane_memory(*inputs), lane_memory_reference(*inputs)
    weights = [torch.randn_like(part) for part in slow]
    # a single step reads before it writes, so not every input matters
    expected = torch.autograd.grad(slow, inputs, weights, allow_unused=True)
    got = torch.autograd.grad(fast, inputs, weights, allow_unused=True)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def test_one_lane_is_linear_attention_that_reads_before_it_writes():
    q, k, v, source, _, mark, _, memory = (part.detach() for part in problem((2, 37, 3, 4, 5, 1)))
    decay = 0.2 + 0.8 * torch.rand(2, 37, 3).double()
    transition, direct = decay[..., None, None], torch.zeros(2, 37, 3).double()
    out, left = lane_memory(q, k, v, source, transition, mark, direct, memory)
    start, keys = memory[:, :, 0], source * k
    _, wanted = linear_attention(q, keys, v, decay.log(), start)
    torch.testing.assert_close(left[:, :, 0], wanted)
    # the memory before a position is the one after the position before
    after, _ = linear_attention(q[:, 1:], keys[:, :-1], v[:, :-1], decay[:, :-1].log(), start)
    torch.testing.assert_close(out[:, 1:], mark[:, 1:] * after)


def test_contents_change_lanes():
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).expand(1, 21, 1, 2, 2)
    nothing, marks = torch.zeros(1, 21, 1, 2), torch.tensor([1.0, 0.0]).expand(1, 21, 1, 2)
    memory = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1)
    one = torch.ones(1, 21, 1, 1)
    out, _ = lane_memory(one, one, one, nothing, swap, marks, torch.zeros(1, 21, 1), memory)
    torch.testing.assert_close(out.flatten(), torch.arange(21).remainder(2).eq(0).float())
