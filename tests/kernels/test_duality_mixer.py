"""A whole Mamba-2 cell in one loop, against its parts in double precision."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.duality.duality_mixer import duality_mixer

# (B, T, W, H, E / H, N, taps): fewer positions than taps, whole chunks, groups of chunks and more
SHAPES = [
    *((1, 1, 16, 1, 16, 16, 4), (3, 1, 16, 2, 16, 32, 4), (2, 2, 32, 2, 16, 16, 4)),
    *((2, 37, 16, 2, 16, 16, 4), (1, 80, 32, 4, 16, 32, 4), (2, 64, 32, 1, 32, 16, 2)),
    *((2, 19, 16, 3, 16, 16, 1), (1, 35, 48, 2, 48, 16, 5), (2, 18, 16, 17, 16, 16, 3)),
]


def problem(shape, loud=1.0):
    rows, steps, width, heads, size, keys, taps = shape
    torch.manual_seed(0)
    inner, small = heads * size, width**-0.5
    mixed = inner + 2 * keys
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, width),
            torch.randn(rows, heads, keys, size),
            torch.randn(rows, taps - 1, mixed),
            loud * small * torch.randn(inner + mixed + heads, width),
            0.5 * torch.randn(taps, mixed),
            loud * torch.randn(heads) - 2,
            0.1 + torch.rand(heads),
            torch.randn(inner),
            1 + 0.1 * torch.randn(inner),
            inner**-0.5 * torch.randn(width, inner),
        )
    ]


def slopes(form, inputs, weights):
    found = form(*inputs)
    given = [part.to(found[0].dtype) for part in weights]
    return (*found, *torch.autograd.grad(found, inputs, given))


def compared(inputs):
    exact = [part.detach().double().requires_grad_() for part in inputs]
    assert type(duality_mixer(*inputs)[0].grad_fn).__name__ == "_MixerBackward"
    weights = [torch.randn_like(part) for part in duality_mixer.plain(*exact)]
    want = slopes(duality_mixer.plain, exact, weights)
    errors = []
    for form in (duality_mixer, duality_mixer.plain):
        pairs = list(zip(slopes(form, inputs, weights), want, strict=True))
        assert all(one.dtype == torch.float32 and one.shape == other.shape for one, other in pairs)
        errors.append(
            [(a - b).abs().max().item() / b.abs().max().item() for a, b in pairs if b.numel()]
        )
    for own, other in zip(*errors, strict=True):
        assert own <= max(1e-5, 3 * other) < 1e-3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_its_parts(shape):
    compared(problem(shape))


def test_step_sizes_that_forget_at_once_and_those_that_never_do():
    compared(problem((2, 37, 16, 2, 16, 16, 4), 6.0))
    inputs = problem((2, 37, 16, 2, 16, 16, 4))
    inputs[6].data *= 20
    compared(inputs)


@pytest.mark.parametrize("shape", [(3, 21, 16, 2, 16, 16, 4), (1, 3, 16, 1, 16, 16, 2)])
def test_inputs_that_are_turned(shape):
    inputs = problem(shape)
    for place in (0, 1, 2, 3, 4, 9):
        turned = inputs[place].detach().transpose(0, 1).contiguous()
        inputs[place] = turned.transpose(0, 1).requires_grad_()
    # a size of one may have any stride
    x = torch.randn(1, 3, 16).transpose(0, 1)
    assert x.stride() == (16, 48, 1)
    if inputs[0].shape == x.shape:
        inputs[0] = x.requires_grad_()
    compared(inputs)


def test_a_sequence_may_be_cut_in_two():
    x, memory, recent, *weights = problem((2, 41, 16, 2, 16, 16, 4))
    whole = duality_mixer(x, memory, recent, *weights)
    first, *state = duality_mixer(x[:, :17], memory, recent, *weights)
    second, *state = duality_mixer(x[:, 17:], *state, *weights)
    parts = torch.cat([first, second], 1), *state
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trained", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("place", [0, 7, 20, 36])
def test_a_missing_number_reaches_no_position_before_it(place, trained):
    inputs = problem((2, 37, 16, 2, 16, 16, 4))
    expected = duality_mixer(*inputs)[0]
    inputs[0].data[1, place, 3] = torch.nan
    with torch.set_grad_enabled(trained):
        y, memory, _ = duality_mixer(*inputs)
    torch.testing.assert_close(y[1, :place], expected[1, :place], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y[0], expected[0], rtol=1e-4, atol=1e-5)
    assert y[1, place:].isnan().all()
    assert memory[1].isnan().all()
    if trained:
        (dx,) = torch.autograd.grad(y[0].sum(), inputs[:1])
        assert dx[0].isfinite().all()


def test_a_missing_number_in_a_memory_stays_in_its_row():
    inputs = problem((2, 37, 16, 2, 16, 16, 4))
    expected = duality_mixer(*inputs)[0]
    inputs[1].data[1, 0, 3, 5] = torch.nan
    y = duality_mixer(*inputs)[0]
    torch.testing.assert_close(y[0], expected[0])
    assert y[1].isnan().all()


@pytest.mark.parametrize(
    "shape", [(2, 21, 16, 2, 4, 16, 4), (2, 5, 12, 2, 16, 16, 4), (1, 5, 16, 2, 16, 8, 4)], ids=str
)
def test_what_does_not_fit_goes_through_the_parts(shape):
    inputs = problem(shape)
    got, want = duality_mixer(*inputs), duality_mixer.plain(*inputs)
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one, other)


def test_autocast_goes_through_the_parts_and_keeps_memories_in_full():
    inputs = problem((2, 21, 16, 2, 16, 16, 4))
    with torch.autocast("cpu", torch.bfloat16):
        y, memory, _ = duality_mixer(*inputs)
    assert (y.dtype, memory.dtype) == (torch.bfloat16, torch.float32)
