"""The selective scan against its recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.scans.selective.selective_scan import selective_scan

# (B, T, E, N): channels that fill vectors, which are compiled, and such that do not
SHAPES = [(1, 1, 16, 1), (2, 37, 32, 5), (1, 8, 16, 3), (3, 17, 48, 2), (2, 9, 5, 3)]


def problem(shape, fastest=0.3):
    rows, steps, width, size = shape
    torch.manual_seed(0)
    parts = (
        fastest * torch.rand(rows, steps, width),
        torch.randn(rows, steps, width),
        torch.randn(rows, steps, size),
        torch.randn(rows, steps, size),
        0.5 + 4 * torch.rand(width, size),
        torch.randn(rows, width, size),
    )
    return [part.requires_grad_() for part in parts]


def recurrence(delta, u, write, read, rate, memory, negative):
    found = []
    for t in range(delta.shape[1]):
        factor = torch.exp(-delta[:, t, :, None] * rate)
        factor = 2 * factor - 1 if negative else factor
        memory = factor * memory + (delta[:, t] * u[:, t])[..., None] * write[:, t, None]
        found.append((memory * read[:, t, None]).sum(-1))
    return torch.stack(found, 1), memory


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", [selective_scan, selective_scan.plain], ids=["compiled", "plain"])
@pytest.mark.parametrize("negative", [False, True])
def test_equals_the_recurrence(form, shape, negative):
    inputs = problem(shape)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    fast, slow = form(*inputs, negative), recurrence(*exact, negative)
    weights = [torch.randn_like(part) for part in fast]
    found = torch.autograd.grad(fast, inputs, weights)
    expected = torch.autograd.grad(slow, exact, [weight.double() for weight in weights])
    for got, want in zip((*fast, *found), (*slow, *expected), strict=True):
        assert (got - want).abs().max() <= 2e-6 * want.abs().max()


@pytest.mark.parametrize("negative", [False, True])
def test_plain_gradcheck(negative):
    inputs = [part.detach().double().requires_grad_() for part in problem((2, 5, 3, 2))]
    assert torch.autograd.gradcheck(selective_scan, [*inputs, negative])


def test_inputs_may_lie_anyhow_in_memory():
    inputs = problem((3, 9, 16, 4))
    expected = selective_scan(*inputs)
    moved = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in inputs]
    for got, want in zip(selective_scan(*moved), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=0)


def test_a_large_step_forgets_all_and_stays_finite():
    delta, *rest = problem((1, 6, 16, 4))
    delta = torch.full_like(delta, 1e4).requires_grad_()
    y, left = selective_scan(delta, *rest)
    u, write, read = rest[:3]
    alone = (delta * u * (write * read).sum(-1, keepdim=True)).detach()
    torch.testing.assert_close(y.detach(), alone, rtol=1e-4, atol=1e-2)
    for part in torch.autograd.grad(y.sum() + left.sum(), [delta, *rest]):
        assert part.isfinite().all()
