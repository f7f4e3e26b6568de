"""HGRN without and HGRN2 with an output gate, from their definitions."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.linear.hgrn import HGRN
from archsearch.cells.linear.hgrn2 import HGRN2


def silu(x):
    return x * torch.sigmoid(x)


def normed(cell, h):
    return h / (h.square().mean(-1, keepdim=True) + 1e-5).sqrt() * cell.norm.weight


def vector(cell, x, opened):
    """One unit at a time, complex where it turns."""
    parts = x @ cell.project.weight.T
    new = silu(parts[..., : cell.size])
    kept = cell.lower_bound + (1 - cell.lower_bound) * torch.sigmoid(cell.gate(x))
    turn = 1.0
    if cell.rotate:
        new, turn = torch.complex(new[..., ::2], new[..., 1::2]), torch.exp(1j * cell.angle)
    h, found = 0.0, []
    for t in range(x.shape[1]):
        h = turn * kept[:, t] * h + (1 - kept[:, t]) * new[:, t]
        found.append(torch.stack([h.real, h.imag], -1).flatten(-2) if cell.rotate else h)
    read = normed(cell, torch.stack(found, 1))
    return (read * silu(parts[..., cell.size :]) if opened else read) @ cell.output.weight.T


def matrix(cell, x, opened):
    """One key, the share that the gate lets go, at a time."""
    q, v = (x @ cell.project.weight.T).chunk(2, -1)
    kept = torch.sigmoid(cell.gate(x))
    q, v, kept = (part.unflatten(-1, (cell.heads, -1)) for part in (silu(q), v, kept))
    memory, found = 0.0, []
    for t in range(x.shape[1]):
        memory = kept[:, t, :, :, None] * memory + (1 - kept[:, t])[..., None] * v[:, t, :, None]
        found.append((q[:, t, ..., None] * memory).sum(-2))
    read = normed(cell, torch.stack(found, 1).flatten(2))
    return (read * silu(x @ cell.open.weight.T) if opened else read) @ cell.output.weight.T


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    wanted = [x, *cell.parameters()]
    slopes = torch.autograd.grad((weight * y).sum(), wanted, materialize_grads=True)
    return [y, *slopes]


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 19)])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("kind", "options", "definition"),
    [
        (HGRN, {"lower_bound": 0.5}, vector),
        (HGRN, {"rotate": True}, vector),
        (HGRN2, {"heads": 2}, matrix),
    ],
)
def test_is_its_definition(kind, options, definition, opened, rows, steps):
    torch.manual_seed(0)
    cell = kind(6, output_gate=opened, **options)
    x = torch.randn(rows, steps, 6, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    expected = with_gradients(cell, exact, definition(cell, exact, opened))
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=1e-3, atol=1e-4)


def test_the_gate_of_hgrn2_comes_after_all_that_is_drawn_without_one():
    built = []
    for opened in (False, True):
        torch.manual_seed(0)
        built.append(HGRN2(8, output_gate=opened))
    plain, gated = built
    for name, part in plain.named_parameters():
        assert torch.equal(part, gated.get_parameter(name))
    assert list(dict(gated.named_parameters()))[-1] == "open.weight"
