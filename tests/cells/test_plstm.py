"""pLSTM on a sequence: its transitions never explode, and can permute what is held."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import silu

from archsearch.cells.linear.plstm import PLSTM


def transitions(cell, x):
    return cell._split(cell.project(x), x)[4]


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("mode", ["propagate", "diffuse"])
def test_transitions_never_explode(mode, lanes):
    torch.manual_seed(0)
    cell = PLSTM(8, heads=2, lanes=lanes, mode=mode, conv=0)
    nn.init.normal_(cell.gates.weight, std=3.0)
    with torch.no_grad():
        found = transitions(cell, torch.randn(4, 100, 8))
        product = torch.linalg.multi_dot(list(found[0, :50, 0])) if lanes > 1 else found[0, 0, 0]
    sums = found.abs().sum(-2)  # what leaves an edge
    assert sums.max() <= 1 + 1e-6
    assert (found < 0).any()
    assert torch.linalg.matrix_norm(product, 1) <= 1 + 1e-5
    between = found - torch.diag_embed(found.diagonal(dim1=-2, dim2=-1))
    assert bool(between.any()) == (mode == "propagate" and lanes > 1)


@pytest.mark.parametrize("mode", ["propagate", "diffuse"])
def test_at_first_transitions_do_not_see_the_input_and_keep_nearly_all(mode):
    torch.manual_seed(0)
    cell = PLSTM(8, heads=2, lanes=4, mode=mode, conv=0)
    found = transitions(cell, torch.randn(2, 9, 8))
    torch.testing.assert_close(found, found[:1, :1].expand_as(found))
    assert found.sum(-2).min() > 0.999
    own = found.diagonal(dim1=-2, dim2=-1)
    assert own.min() > (0.8 if mode == "propagate" else 0.999)


def test_shares_can_permute_the_lanes():
    torch.manual_seed(0)
    cell = PLSTM(4, heads=1, lanes=4, conv=0)
    order = torch.eye(4)[[2, 0, 3, 1]]
    with torch.no_grad():
        cell.gates.weight.zero_()
        cell.gates.bias[13:] = 60 * order.flatten()
        found = transitions(cell, torch.randn(1, 1, 4))[0, 0, 0]
    torch.testing.assert_close(found, order, atol=1e-3, rtol=0)


def test_the_cell_is_its_equations():
    torch.manual_seed(0)
    cell = PLSTM(8, heads=2, lanes=2, conv=0).double()
    nn.init.normal_(cell.gates.weight)
    x = torch.randn(2, 21, 8).double()
    q, k, v = cell.project(x).unflatten(-1, (3, 2, 4)).unbind(-3)
    gates = cell.gates(x).unflatten(-1, (2, 11))
    source, mark, strength = gates[..., :2], gates[..., 2:4], gates[..., 4:6]
    direct, shares = gates[..., 6], gates[..., 7:].unflatten(-1, (2, 2)).exp()
    shares = shares / shares.sum(-2, keepdim=True)
    moved = shares * torch.tanh(5 * strength)[..., None, :]
    memory, found = x.new_zeros(2, 2, 2, 4, 4), []  # (B, H, J, K, V)
    for t in range(21):
        read = sum(
            mark[:, t, :, j, None] * torch.einsum("bhkv,bhk->bhv", memory[:, :, j], q[:, t])
            for j in range(2)
        )
        inner = (q[:, t] * k[:, t]).sum(-1)
        found.append((read + (direct[:, t] * inner)[..., None] * v[:, t]) / 2)
        memory = torch.stack(
            [
                sum(moved[:, t, :, i, j, None, None] * memory[:, :, j] for j in range(2))
                + source[:, t, :, i, None, None] * k[:, t, :, :, None] * v[:, t, :, None]
                for i in range(2)
            ],
            2,
        )
    read = cell.norm(torch.stack(found, 1)).flatten(2) * silu(cell.open(x))
    torch.testing.assert_close(cell(x)[0], cell.output(read), rtol=1e-6, atol=1e-8)
