"""A whole cell with memories in lanes in one loop, against its parts in double precision."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.lanes.lane_mixer import lane_mixer

# (B, T, H, D, J, taps): fewer positions than taps, whole chunks, groups of chunks and more
SHAPES = [
    *((1, 1, 1, 16, 1, 2), (2, 2, 1, 16, 2, 4), (2, 37, 2, 16, 2, 4), (1, 80, 4, 16, 2, 4)),
    *((2, 64, 1, 32, 2, 4), (2, 19, 1, 16, 3, 3), (1, 18, 2, 16, 4, 1)),
]


def problem(shape, shared=True):
    rows, steps, heads, size, lanes, taps = shape
    torch.manual_seed(0)
    width = heads * size
    parts = 3 * lanes + 1 + (lanes**2 if shared else 0)
    small = width**-0.5
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, width),
            torch.randn(rows, taps - 1, 3 * width),
            torch.randn(rows, heads, lanes, size, size),
            small * torch.randn(3 * width, width),
            0.5 * torch.randn(taps, 3 * width),
            0.5 * small * torch.randn(heads * parts, width),
            torch.randn(heads * parts),
            1 + 0.1 * torch.randn(size),
            small * torch.randn(width, width),
            small * torch.randn(width, width),
        )
    ]


def compared(inputs, within=2e-5):
    exact = [part.detach().double().requires_grad_() for part in inputs]
    fast, slow = lane_mixer(*inputs), lane_mixer.plain(*exact)
    weights = [torch.randn_like(part) for part in slow]
    got = torch.autograd.grad(fast, inputs, [part.float() for part in weights])
    want = torch.autograd.grad(slow, exact, weights)
    assert type(fast[0].grad_fn).__name__ == "_MixerBackward"
    for one, other in zip((*fast, *got), (*slow, *want), strict=True):
        assert one.dtype == torch.float32
        assert one.shape == other.shape
        if other.numel():
            assert (one - other).abs().max() <= within * other.abs().max()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("shared", [True, False], ids=["propagate", "diffuse"])
def test_equals_its_parts(shape, shared):
    compared(problem(shape, shared))


def test_inputs_that_are_turned():
    inputs = problem((3, 21, 2, 16, 2, 4))
    for place in (0, 1, 3, 9):
        turned = inputs[place].detach().transpose(0, 1).contiguous()
        inputs[place] = turned.transpose(0, 1).requires_grad_()
    compared(inputs)


def oddly_laid(part):
    """The same numbers with steps of dimensions of size one that say nothing."""
    steps = [
        apart if size > 1 else 7 for size, apart in zip(part.shape, part.stride(), strict=True)
    ]
    return part.detach().as_strided(part.shape, steps).requires_grad_()


@pytest.mark.parametrize("shape", [(3, 1, 2, 16, 2, 4), (1, 1, 1, 16, 2, 4), (1, 2, 1, 16, 2, 1)])
def test_few_positions_that_lie_oddly(shape):
    compared([oddly_laid(part) for part in problem(shape)])


@pytest.mark.parametrize("form", [lane_mixer, lane_mixer.plain], ids=["compiled", "plain"])
def test_a_missing_number_stays_in_its_future(form):
    inputs = problem((2, 41, 2, 16, 2, 4))
    with torch.no_grad():
        inputs[0][0, 20, 3] = torch.nan
    y, _, memory = form(*inputs)
    assert y[0, :20].isfinite().all()
    assert y[0, 20:].isnan().all()
    assert memory[0].isnan().any()
    assert y[1].isfinite().all()


def test_a_sequence_may_be_cut_in_two():
    x, recent, memory, *weights = problem((2, 41, 2, 16, 2, 4))
    whole = lane_mixer(x, recent, memory, *weights)
    first, recent, memory = lane_mixer(x[:, :17], recent, memory, *weights)
    second, recent, memory = lane_mixer(x[:, 17:], recent, memory, *weights)
    parts = torch.cat([first, second], 1), recent, memory
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 21, 2, 4, 2, 4), (1, 21, 1, 17, 2, 4)], ids=str)
def test_heads_that_fill_no_vector_go_through_the_parts(shape):
    inputs = problem(shape)
    got, want = lane_mixer(*inputs), lane_mixer.plain(*inputs)
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one, other)


def test_autocast_goes_through_the_parts_and_keeps_memories_in_full():
    inputs = problem((2, 21, 2, 16, 2, 4))
    with torch.autocast("cpu", torch.bfloat16):
        y, _, memory = lane_mixer(*inputs)
    exact = lane_mixer.plain(*(part.detach().double() for part in inputs))[0]
    assert (y.dtype, memory.dtype) == (torch.bfloat16, torch.float32)
    assert (y - exact).abs().max() < 0.05 * exact.abs().max()
