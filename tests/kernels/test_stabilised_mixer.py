"""A whole cell with a stabilised memory in one loop, against its parts in double precision."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer import stabilised_mixer

# (B, T, W, H, S, taps): fewer positions than taps, whole chunks, groups of chunks and more
SHAPES = [
    *((1, 1, 16, 1, 16, 4), (3, 1, 16, 2, 16, 4), (2, 2, 32, 2, 16, 4), (2, 37, 16, 2, 16, 4)),
    *((1, 80, 32, 4, 16, 4), (2, 64, 32, 1, 32, 2), (2, 19, 16, 3, 16, 1), (1, 35, 48, 2, 48, 5)),
    *((2, 18, 16, 10, 16, 3),),
]


def problem(shape, loud=1.0):
    rows, steps, width, heads, size, taps = shape
    torch.manual_seed(0)
    inner, small = heads * size, width**-0.5
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, width),
            torch.randn(rows, heads, size, size + 1),
            torch.randn(rows, heads),
            torch.randn(rows, taps - 1, inner),
            small * torch.randn(2 * inner, width),
            0.5 * torch.randn(taps, inner),
            0.5 * torch.randn(3, inner // 4, 4, 4),
            loud * inner**-0.5 * torch.randn(2 * heads, 3 * inner),
            loud * torch.randn(2 * heads) + 1,
            1 + 0.1 * torch.randn(heads, size),
            torch.randn(inner),
            inner**-0.5 * torch.randn(width, inner),
        )
    ]


def slopes(form, inputs, weights):
    found = form(*inputs)
    # m has no slope
    chosen = [0, 1, 3]
    asked = [found[i] for i in chosen]
    given = [weights[i].to(found[0].dtype) for i in chosen]
    return (*found, *torch.autograd.grad(asked, inputs, given))


def compared(inputs):
    """The parts in single precision say how exact a quotient by a sum near zero can be."""
    exact = [part.detach().double().requires_grad_() for part in inputs]
    assert type(stabilised_mixer(*inputs)[0].grad_fn).__name__ == "_MixerBackward"
    weights = [torch.randn_like(part) for part in stabilised_mixer.plain(*exact)]
    want = slopes(stabilised_mixer.plain, exact, weights)
    errors = []
    for form in (stabilised_mixer, stabilised_mixer.plain):
        pairs = list(zip(slopes(form, inputs, weights), want, strict=True))
        assert all(one.dtype == torch.float32 and one.shape == other.shape for one, other in pairs)
        errors.append(
            max((a - b).abs().max().item() / b.abs().max().item() for a, b in pairs if b.numel())
        )
    assert errors[0] <= max(2e-5, 3 * errors[1]) < 1e-3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_its_parts(shape):
    compared(problem(shape))


def test_loud_gates():
    compared(problem((2, 37, 16, 2, 16, 4), 4.0))


@pytest.mark.parametrize(
    "shape", [(3, 21, 16, 2, 16, 4), (3, 1, 16, 2, 16, 4), (1, 3, 16, 1, 16, 2)]
)
def test_inputs_that_are_turned(shape):
    inputs = problem(shape)
    for place in (0, 1, 3, 4, 11):
        turned = inputs[place].detach().transpose(0, 1).contiguous()
        inputs[place] = turned.transpose(0, 1).requires_grad_()
    # a size of one may have any stride
    x = torch.randn(1, 3, 16).transpose(0, 1)
    assert x.stride() == (16, 48, 1)
    if inputs[0].shape == x.shape:
        inputs[0] = x.requires_grad_()
    compared(inputs)


def test_a_sequence_may_be_cut_in_two():
    x, held, size, recent, *weights = problem((2, 41, 16, 2, 16, 4))
    whole = stabilised_mixer(x, held, size, recent, *weights)
    first, *state = stabilised_mixer(x[:, :17], held, size, recent, *weights)
    second, *state = stabilised_mixer(x[:, 17:], *state, *weights)
    parts = torch.cat([first, second], 1), *state
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


def test_gates_without_bound_keep_values_and_slopes_finite():
    inputs = problem((2, 70, 16, 2, 16, 4), 60.0)
    y, held, size, _ = stabilised_mixer(*inputs)
    slopes = torch.autograd.grad(y.sum(), inputs)
    assert all(part.isfinite().all() for part in (y, held, size, *slopes))


@pytest.mark.parametrize("trained", [True, False], ids=["compiled", "plain"])
@pytest.mark.parametrize("place", [0, 7, 20, 36])
def test_a_missing_number_reaches_no_position_before_it(place, trained):
    inputs = problem((2, 37, 16, 2, 16, 4))
    expected = stabilised_mixer(*inputs)[0]
    inputs[0].data[1, place, 3] = torch.nan
    with torch.set_grad_enabled(trained):
        y, held, _, _ = stabilised_mixer(*inputs)
    torch.testing.assert_close(y[1, :place], expected[1, :place], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y[0], expected[0], rtol=1e-4, atol=1e-5)
    assert y[1, place:].isnan().all()
    assert held[1].isnan().all()


@pytest.mark.parametrize(
    "shape", [(2, 21, 16, 2, 4, 4), (2, 5, 12, 2, 16, 4), (1, 5, 16, 2, 16, 17)], ids=str
)
def test_what_does_not_fit_goes_through_the_parts(shape):
    inputs = problem(shape)
    got, want = stabilised_mixer(*inputs), stabilised_mixer.plain(*inputs)
    for one, other in zip(got, want, strict=True):
        assert torch.equal(one, other)


def test_autocast_goes_through_the_parts_and_keeps_memories_in_full():
    inputs = problem((2, 21, 16, 2, 16, 4))
    with torch.autocast("cpu", torch.bfloat16):
        y, held, _, _ = stabilised_mixer(*inputs)
    assert (y.dtype, held.dtype) == (torch.bfloat16, torch.float32)
