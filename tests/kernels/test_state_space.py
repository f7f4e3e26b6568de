"""The chunkwise time-invariant memories against their recurrences, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.memories.window_memory import window_memory, window_memory_reference
from archsearch.kernels.scans.state_space import (
    dense_state_space,
    dense_state_space_reference,
    diagonal_state_space,
    diagonal_state_space_reference,
    krylov,
    squares,
    toeplitz,
)

# (B, T, W, states): one step, a whole chunk, less, more, several
SHAPES = [(1, 1, 1, 1), (1, 32, 2, 3), (3, 5, 2, 4), (2, 37, 3, 4), (1, 131, 2, 2)]
# whole vectors of channels, which are compiled; more sequences than are done side by side
COMPILED = [(1, 1, 16, 1), (1, 16, 16, 3), (5, 37, 32, 4), (3, 131, 16, 2)]


def diagonal(shape):
    rows, steps, width, size = shape
    torch.manual_seed(0)
    kind = torch.complex128
    factor = torch.randn(width, size, dtype=kind)
    factor = 0.999 * factor / factor.abs().clamp_min(1.0)
    parts = (
        torch.randn(rows, steps, width, dtype=torch.float64),
        factor,
        torch.randn(width, size, dtype=kind),
        torch.randn(width, size, dtype=kind),
        torch.randn(rows, width, size, dtype=kind),
    )
    return [part.requires_grad_() for part in parts]


def dense(shape):
    rows, steps, width, size = shape
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(width, size, size, dtype=torch.float64))[0] * 0.98
    parts = (
        torch.randn(rows, steps, width),
        matrix,
        torch.randn(width, size),
        torch.randn(width, size),
        torch.randn(rows, width, size),
    )
    return [part.double().requires_grad_() for part in parts]


def shared(shape):
    u, matrix, write, _, memory = dense(shape)
    return [u, *(part[0].detach().requires_grad_() for part in (matrix, write)), memory]


FORMS = [
    (diagonal_state_space, diagonal_state_space_reference, diagonal),
    (dense_state_space, dense_state_space_reference, dense),
    (
        lambda *inputs: (window_memory(*inputs),),
        lambda *inputs: (window_memory_reference(*inputs),),
        shared,
    ),
]


@pytest.mark.parametrize(("fast", "slow", "problem"), FORMS, ids=["diagonal", "dense", "window"])
@pytest.mark.parametrize("shape", SHAPES + COMPILED, ids=str)
def test_equals_the_recurrence(fast, slow, problem, shape):
    inputs = problem(shape)
    got, want = fast(*inputs), slow(*inputs)
    weights = [torch.randn_like(part) for part in want]
    expected = torch.autograd.grad(want, inputs, weights)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    for one, other in zip(torch.autograd.grad(got, inputs, weights), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("fast", "slow", "problem"), FORMS[:2], ids=["diagonal", "dense"])
@pytest.mark.parametrize("shape", COMPILED, ids=str)
def test_compiled_forms_in_single_precision(fast, slow, problem, shape):
    exact = problem(shape)
    kinds = {torch.float64: torch.float32, torch.complex128: torch.complex64}
    inputs = [part.detach().to(kinds[part.dtype]).requires_grad_() for part in exact]
    got, want = fast(*inputs), slow(*exact)
    weights = [torch.randn_like(part) for part in got]
    found = torch.autograd.grad(got, inputs, weights)
    weights = [weight.to(part.dtype) for weight, part in zip(weights, want, strict=True)]
    expected = torch.autograd.grad(want, exact, weights)
    for one, other in zip((*got, *found), (*want, *expected), strict=True):
        assert one.dtype == kinds[other.dtype]
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize(("fast", "slow", "problem"), FORMS[:2], ids=["diagonal", "dense"])
def test_compiled_forms_are_used_wherever_inputs_lie_in_memory(fast, slow, problem):
    inputs = problem((2, 32, 16, 3))
    moved = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in inputs]
    y = fast(*moved)[0]
    assert type(y.grad_fn).__name__ in ("_DiagonalBackward", "_DenseBackward")
    torch.testing.assert_close(y, slow(*inputs)[0])


@pytest.mark.parametrize(("fast", "slow", "problem"), FORMS[:2], ids=["diagonal", "dense"])
def test_compiled_forms_pass_gradcheck(fast, slow, problem):
    assert torch.autograd.gradcheck(fast, problem((1, 17, 16, 2)), fast_mode=True)


@pytest.mark.parametrize("shape", [(2, 131, 3, 4)], ids=str)
def test_equals_a_convolution_by_fourier_transform(shape):
    u, factor, write, read, memory = (part.detach() for part in diagonal(shape))
    kernel = torch.einsum("wm,wmt->wt", read * write, factor[..., None] ** torch.arange(131)).real
    both = torch.fft.rfft(u.mT, 262) * torch.fft.rfft(kernel, 262)
    y, _ = diagonal_state_space(u, factor, write, read, 0 * memory)
    torch.testing.assert_close(y, torch.fft.irfft(both, 262)[..., :131].mT)


def test_window_memory_equals_a_convolution_by_fourier_transform():
    u, matrix, write, memory = (part.detach() for part in shared((2, 131, 3, 4)))
    response = krylov(squares(matrix, 131), write, 131)  # (N, T)
    both = torch.fft.rfft(u.mT, 262)[:, :, None] * torch.fft.rfft(response, 262)
    expected = torch.fft.irfft(both, 262)[..., :131].permute(0, 3, 1, 2)
    torch.testing.assert_close(window_memory(u, matrix, write, 0 * memory), expected)


def test_toeplitz_is_a_causal_convolution():
    taps = torch.tensor([1.0, 2.0, 3.0])
    expected = torch.tensor([[1.0, 0.0, 0.0], [2.0, 1.0, 0.0], [3.0, 2.0, 1.0]])
    assert torch.equal(toeplitz(taps), expected)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_krylov_is_repeated_multiplication(count):
    matrix, vector = torch.randn(3, 4, 4).double(), torch.randn(3, 4).double()
    columns = [vector]
    for _ in range(count - 1):
        columns.append(torch.einsum("wij,wj->wi", matrix, columns[-1]))
    torch.testing.assert_close(
        krylov(squares(matrix, count), vector, count), torch.stack(columns, -1)
    )
