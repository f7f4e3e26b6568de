"""The memory cells against plain gradient descent by autograd, and what they reduce to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, normalize, softplus

from archsearch.cells.memory.memora import Memora
from archsearch.cells.memory.moneta import Moneta
from archsearch.cells.memory.titans import Titans
from archsearch.cells.memory.yaad import Yaad
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.descent.descent_rule import SHARPNESS

WIDTH, HEADS, LENGTH = 6, 2, 11


def projected(cell, x):
    mixed, _ = cell.conv(cell.project(x), torch.zeros(len(x), 3, 3 * WIDTH, dtype=x.dtype))
    q, k, v = mixed.unflatten(-1, (3, HEADS, -1)).unbind(2)
    return normalize(q, dim=-1), normalize(k, dim=-1), v


def read(weights, x):
    if len(weights) == 1:
        return weights[0] @ x
    return x + weights[1] @ gelu(weights[0] @ x)


def loss_of(cell, difference, bound):
    """The loss whose gradient by M(k) the cell descends along, from the papers' equations."""
    if isinstance(cell, Moneta):
        if cell.rule.p == 2:
            return difference.square().sum() / 2
        error = difference.sign() * difference.abs() ** (cell.rule.p - 1)
        return (error / error.norm().clamp_min(1.0)).detach() @ difference
    if isinstance(cell, Yaad) and difference.norm() > bound:
        return (bound * torch.tanh(SHARPNESS * difference)).detach() @ difference
    return difference.square().sum() / 2


def retained(cell, matrix):
    if isinstance(cell, Memora):
        return matrix.softmax(-1)
    if isinstance(cell, Moneta):
        return matrix / (matrix**cell.rule.q).sum().clamp_min(1.0) ** (
            (cell.rule.q - 2) / cell.rule.q
        )
    return matrix


def gradients(cell, weights, k, v, bound):
    leaves = [weight.detach().requires_grad_() for weight in weights]
    difference = read(leaves, k) - v
    loss = loss_of(cell, difference, bound)
    if cell.depth == 2:
        # an error of length one at most
        (error,) = torch.autograd.grad(loss, difference, retain_graph=True)
        loss = loss / error.norm().clamp_min(1.0)
    return torch.autograd.grad(loss, leaves)


def descended(cell, x):
    """Position by position and head by head, with the inner gradients by autograd."""
    q, k, v = projected(cell, x)
    step = torch.sigmoid(cell.learn(x)) * cell.rate / cell.chunk
    keep = torch.sigmoid(cell.keep(x)) if cell.keep is not None else torch.ones_like(step)
    eta = torch.sigmoid(cell.momentum(x)) if cell.momentum is not None else 0 * step
    bound = softplus(cell.bound(x)) if cell.bound is not None else step
    outputs = torch.zeros_like(v)
    for row in range(len(x)):
        for head in range(HEADS):
            matrices = [start[head].detach() for start in cell.start]
            speeds = [torch.zeros_like(matrix) for matrix in matrices]
            for t in range(x.shape[1]):
                here = (row, t, head)
                if t % cell.chunk == 0:
                    anchor = [retained(cell, matrix) for matrix in matrices]
                found = gradients(cell, anchor, k[here], v[here], bound[here])
                speeds = [
                    eta[here] * s - step[here] * g for s, g in zip(speeds, found, strict=True)
                ]
                matrices = [keep[here] * a + s for a, s in zip(matrices, speeds, strict=True)]
                outputs[here] = read([retained(cell, matrix) for matrix in matrices], q[here])
    return cell.output(cell.norm(outputs).flatten(-2))


@pytest.mark.parametrize("chunk", [1, 4])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("cell_type", "options"),
    [
        (Titans, {}),
        (Titans, {"momentum": False}),
        (Titans, {"forget": False}),
        (Moneta, {}),
        (Moneta, {"p": 2, "q": 4}),
        (Moneta, {"p": 4, "q": 2}),
        (Yaad, {}),
        (Yaad, {"bound_bias": -2.0}),
        (Memora, {}),
    ],
)
def test_is_gradient_descent_by_autograd(cell_type, options, depth, chunk):
    torch.manual_seed(0)
    cell = cell_type(WIDTH, heads=HEADS, depth=depth, chunk=chunk, **options).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter, std=0.7)
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        got = cell(x)[0]
    torch.testing.assert_close(got, descended(cell, x).detach())


@pytest.mark.parametrize("cell_type", [Titans, Moneta, Yaad, Memora])
def test_rows_in_different_places_of_their_chunks(cell_type):
    torch.manual_seed(0)
    cell = cell_type(WIDTH, heads=HEADS, chunk=4).double()
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    early, late = cell(x[:1, :3])[1], cell(x[1:, :6])[1]

    def joined(one, other):
        if isinstance(one, tuple):
            return tuple(map(joined, one, other))
        return torch.cat([one, other])

    rest = torch.stack([x[0, 3:8], x[1, 6:]])
    y = cell(rest, joined(early, late))[0]
    torch.testing.assert_close(y[0], cell(x[:1])[0][0, 3:8])
    torch.testing.assert_close(y[1], cell(x[1:])[0][0, 6:])


def test_linear_titans_without_momentum_and_forgetting_is_the_delta_rule():
    torch.manual_seed(0)
    cell = Titans(WIDTH, HEADS, depth=1, chunk=1, momentum=False, forget=False).double()
    nn.init.zeros_(cell.start[0])
    x = torch.randn(2, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = projected(cell, x)
    memory = torch.zeros(2, HEADS, 3, 3, dtype=torch.float64)
    want, _ = delta_rule(q, k, v, torch.sigmoid(cell.learn(x)), memory)
    torch.testing.assert_close(cell(x)[0], cell.output(cell.norm(want).flatten(-2)))


def test_moneta_of_squares_is_titans_without_momentum():
    torch.manual_seed(0)
    titans = Titans(WIDTH, HEADS, momentum=False)
    moneta = Moneta(WIDTH, HEADS, p=2, q=2)
    moneta.load_state_dict(titans.state_dict())
    x = torch.randn(2, LENGTH, WIDTH)
    torch.testing.assert_close(moneta(x)[0], titans(x)[0])


def test_yaad_that_knows_no_outliers_is_titans_without_momentum():
    torch.manual_seed(0)
    titans = Titans(WIDTH, HEADS, momentum=False)
    yaad = Yaad(WIDTH, HEADS)
    yaad.load_state_dict(titans.state_dict(), strict=False)
    nn.init.zeros_(yaad.bound.weight)
    nn.init.constant_(yaad.bound.bias, 1e6)
    x = torch.randn(2, LENGTH, WIDTH)
    torch.testing.assert_close(yaad(x)[0], titans(x)[0])


def test_yaad_starts_with_the_bound_it_is_given():
    torch.manual_seed(0)
    usual = Yaad(WIDTH, HEADS)
    torch.manual_seed(0)
    lenient, x = Yaad(WIDTH, HEADS, bound_bias=9.0), torch.randn(2, LENGTH, WIDTH)
    assert not usual.bound.bias.any()
    assert (lenient.bound.bias == 9.0).all()
    for name, part in usual.state_dict().items():
        assert name == "bound.bias" or torch.equal(lenient.state_dict()[name], part)
    # no error is as long as that
    titans = Titans(WIDTH, HEADS, momentum=False)
    titans.load_state_dict(lenient.state_dict(), strict=False)
    torch.testing.assert_close(lenient(x)[0], titans(x)[0])


def test_every_row_of_memora_stays_a_distribution():
    torch.manual_seed(0)
    cell = Memora(WIDTH, HEADS, chunk=4)
    past, _, _, (share, _), _, _ = cell(10 * torch.randn(2, 50, WIDTH))[1]
    for kept, start in zip(past, cell.start, strict=True):
        weights = cell.rule.retain(kept + share[..., None, None] * start)
        assert (weights > 0).all()
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
