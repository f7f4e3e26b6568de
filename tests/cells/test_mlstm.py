"""mLSTM from its definition: dense matrices, exponential forget gates, and how gates start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.cells.linear.mlstm import MLSTM
from archsearch.errors import ArchitectureError


def silu(x):
    return x * torch.sigmoid(x)


def by_definition(cell, x, forget):
    """The memory and its sum of keys as they are, without a running maximum."""
    heads, size = cell.heads, cell.head_size
    u, z = (x @ cell.project.weight.T).chunk(2, -1)
    taps = cell.conv.taps
    rows = torch.cat([x.new_zeros(len(x), max(taps - 1, 0), u.shape[2]), u], 1)
    c = sum(rows[:, j : j + x.shape[1]] * cell.conv.weight[j] for j in range(taps)) if taps else u
    c = silu(c)
    if cell.blocks is None:
        both, values = (part.weight for part in cell.dense)
        matrices = [*both.chunk(2), values]
    else:
        matrices = [torch.block_diag(*part) for part in cell.blocks]
    q, k, v = (part @ matrix.T for part, matrix in zip((c, c, u), matrices, strict=True))
    i, f = cell.gates(torch.cat([q, k, v], -1)).chunk(2, -1)
    f = torch.exp(f) if forget == "exp" else torch.sigmoid(f)
    q, k, v = (part.unflatten(-1, (heads, size)) for part in (q, k / size**0.5, v))
    memory, keys, found = x.new_zeros(1, heads, size, size), x.new_zeros(1, heads, size), []
    for t in range(x.shape[1]):
        wrote = torch.exp(i[:, t])[..., None] * k[:, t]
        memory = f[:, t, :, None, None] * memory + wrote[..., None] * v[:, t, :, None]
        keys = f[:, t, :, None] * keys + wrote
        total = (keys * q[:, t]).sum(-1, keepdim=True).abs().clamp_min(1.0)
        found.append((memory * q[:, t, ..., None]).sum(-2) / total)
    h = torch.stack(found, 1)
    h = h - h.mean(-1, keepdim=True)
    h = h / (h.square().mean(-1, keepdim=True) + 1e-5).sqrt() * cell.scale
    return ((h.flatten(2) + cell.skip * c) * silu(z)) @ cell.output.weight.T


def with_gradients(cell, x, y):
    weight = torch.cos(torch.arange(y.numel(), dtype=y.dtype)).view_as(y)
    return [y, *torch.autograd.grad((weight * y).sum(), [x, *cell.parameters()])]


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 21)])
@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
@pytest.mark.parametrize(("blocks", "conv"), [("four", 4), ("dense", 4), ("dense", 0)])
def test_is_its_definition(blocks, conv, forget, rows, steps):
    torch.manual_seed(0)
    cell = MLSTM(8, heads=2, conv=conv, blocks=blocks, forget=forget, forget_low=-1.0)
    nn.init.normal_(cell.gates.weight, std=0.3)
    x = torch.randn(rows, steps, 8, requires_grad=True)
    got = with_gradients(cell, x, cell(x)[0])
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    opened = cell._split(*cell.project(exact).chunk(2, -1))[-1].exp()
    if steps > 1:
        assert bool((opened > 1).any()) == (forget == "exp")
    expected = with_gradients(cell, exact, by_definition(cell, exact, forget))
    for fast, slow in zip(got, expected, strict=True):
        torch.testing.assert_close(fast.double(), slow, rtol=2e-3, atol=2e-3)


def test_dense_matrices_of_any_inner_width_start_as_large_as_blocks():
    torch.manual_seed(0)
    assert MLSTM(5, heads=5, blocks="dense")(torch.randn(1, 3, 5))[0].isfinite().all()
    dense, small = MLSTM(64, blocks="dense"), MLSTM(64)
    x = torch.randn(400, 1, 128)
    for one, other in zip(dense._split(x, x)[:3], small._split(x, x)[:3], strict=True):
        assert abs((one.std() / other.std()).item() - 1) < 0.1


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_forget_gates_start_over_the_range_that_is_asked_for(forget):
    torch.manual_seed(0)
    cell = MLSTM(16, heads=4, forget=forget, forget_low=-1.0, forget_high=2.0)
    log_forget = cell._split(*torch.randn(2, 3, 5, 32).unbind(0))[-1]
    expected = torch.sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    torch.testing.assert_close(log_forget.exp(), expected.expand(3, 5, 4))


@pytest.mark.parametrize("bias", [-20.0, 20.0])
def test_an_exponential_forget_gate_that_always_grows_or_shrinks_leaves_numbers(bias):
    torch.manual_seed(0)
    cell = MLSTM(8, heads=2, forget="exp")
    nn.init.constant_(cell.gates.bias[2:], bias)
    x = torch.randn(1, 1000, 8, requires_grad=True)
    y, (held, size, _) = cell(x)
    slopes = torch.autograd.grad(y.sum(), [x, *cell.parameters()])
    assert all(part.isfinite().all() for part in (y, held, size, *slopes))
    # growing: the first write outweighs all that came later
    assert bool((size > 1000).all()) == (bias > 0)


def test_a_range_upside_down_is_refused():
    with pytest.raises(ArchitectureError, match=r"forget_low 5.0 is above forget_high 4.0; lower"):
        MLSTM(8, forget_low=5.0, forget_high=4.0)
