"""pLSTM with several values, turned lanes and factors above zero, against the graph's equation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import silu

from archsearch.cells.linear.lane_values import above_zero, rotation
from archsearch.cells.linear.plstm import PLSTM

WIDTH, HEADS, SIZE = 8, 2, 4
CASES = [
    {"negative": False, "mode": "propagate"},
    {"negative": False, "mode": "diffuse"},
    {"lanes": 1, "negative": False},
    {"mode": "orthogonal"},
    {"mode": "orthogonal", "lanes": 4, "negative": False},
    {"values": 2},
    {"values": 4, "mode": "diffuse"},
    {"values": 2, "lanes": 1},
    {"values": 3, "mode": "orthogonal", "lanes": 4},
]


def rotated(angles, lanes):
    found, entries = torch.eye(lanes).double(), iter(angles)
    for i in range(lanes):
        for j in range(i):
            angle, turn = next(entries), [list(row) for row in torch.eye(lanes).double()]
            turn[i][i] = turn[j][j] = torch.cos(angle)
            turn[i][j], turn[j][i] = torch.sin(angle), -torch.sin(angle)
            found = found @ torch.stack([torch.stack(row) for row in turn])
    return found


def transition(cell, strength, between):
    factor = torch.tanh(5 * strength) if cell.negative else torch.sigmoid(5 * strength)
    lanes = len(factor)
    if cell.turned:
        turns = [rotated(angles, lanes) for angles in between.chunk(2)]
        return turns[0] @ torch.diag(factor) @ turns[1]
    if cell.shared:
        weights = between.view(lanes, lanes).exp()
        return weights / weights.sum(0) * factor
    return torch.diag(factor)


def plain(cell, x):
    """Of one sequence (T, W): edge by edge, output by output, value by value."""
    count, lanes = cell.values, cell.lanes
    mixed = cell.project(x)
    q, k, v = mixed.split([WIDTH, WIDTH, count * WIDTH], -1)
    outputs = []
    memory = torch.zeros(HEADS, lanes, SIZE, SIZE).double()
    for t in range(len(x)):
        gates = cell.gates(x[t]).view(HEADS, -1)
        found, after = [], []
        for head in range(HEADS):
            here = slice(head * SIZE, (head + 1) * SIZE)
            key, query = k[t, here], q[t, here]
            values = v[t].view(HEADS, count, SIZE)[head]
            ends = [count * lanes, count * lanes, lanes, count**2]
            source, mark, strength, direct, between = gates[head].split(
                [*ends, len(gates[head]) - sum(ends)]
            )
            source, mark = source.view(count, lanes), mark.view(count, lanes)
            direct = direct.view(count, count)
            for o in range(count):
                read = sum(mark[o, j] * memory[head, j].mT @ query for j in range(lanes))
                read = read + sum(direct[o, w] * (query @ key) * values[w] for w in range(count))
                found.append(read / SIZE**0.5)
            moved = transition(cell, strength, between)
            after.append(
                torch.stack(
                    [
                        sum(moved[i, j] * memory[head, j] for j in range(lanes))
                        + sum(source[w, i] * torch.outer(key, values[w]) for w in range(count))
                        for i in range(lanes)
                    ]
                )
            )
        memory = torch.stack(after)
        read = torch.stack(found)  # (H N, K)
        normed = read / (read.square().mean(-1, keepdim=True) + 1e-5).sqrt() * cell.norm.weight
        outputs.append(cell.output(normed.flatten() * silu(cell.open(x[t]))))
    return torch.stack(outputs)


@pytest.mark.parametrize("options", CASES, ids=str)
@pytest.mark.parametrize("shape", [(2, 19), (1, 1)], ids=str)
def test_the_cell_is_the_equation_of_the_graph(options, shape):
    torch.manual_seed(0)
    cell = PLSTM(WIDTH, HEADS, conv=0, **options).double()
    nn.init.normal_(cell.gates.weight, std=0.5)
    x = torch.randn(*shape, WIDTH).double().requires_grad_()
    slope, runs = torch.randn_like(x), []
    for y in (cell(x)[0], torch.stack([plain(cell, row) for row in x])):
        wanted = (x, *cell.parameters())
        runs.append([y, *torch.autograd.grad(y, wanted, slope, materialize_grads=True,
                                             allow_unused=True)])  # fmt: skip
    for got, want in zip(*runs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("options", CASES, ids=str)
def test_single_precision_from_any_state(options):
    torch.manual_seed(0)
    cell = PLSTM(16, HEADS, **options)
    exact = PLSTM(16, HEADS, **options).double()
    exact.load_state_dict(cell.state_dict())
    x, runs = torch.randn(2, 21, 16), []
    slope = torch.randn_like(x[:, 5:])
    for model in (cell, exact):
        kind = next(model.parameters()).dtype
        _, state = model(x[:, :5].to(kind))
        y = model(x[:, 5:].to(kind), state)[0]
        runs.append([y, *torch.autograd.grad(y, list(model.parameters()), slope.to(kind))])
    for got, want in zip(*runs, strict=True):
        assert (got - want).norm() <= 1e-4 * want.norm().clamp_min(1e-2)


@pytest.mark.parametrize("lanes", [2, 4])
def test_what_is_turned_never_grows(lanes):
    torch.manual_seed(0)
    cell = PLSTM(8, 2, lanes=lanes, mode="orthogonal", conv=0)
    nn.init.normal_(cell.gates.weight, std=3.0)
    with torch.no_grad():
        for scale in (1.0, 30.0):
            found = cell._split(cell.project(x := scale * torch.randn(4, 50, 8)), x)[4]
            assert torch.linalg.matrix_norm(found, 2).max() <= 1 + 1e-5
            assert (found < 0).any()
    turns = rotation(3 * torch.randn(5, lanes * (lanes - 1) // 2).double(), lanes)
    torch.testing.assert_close(turns @ turns.mT, torch.eye(lanes).double().expand_as(turns))


def test_turned_lanes_start_as_they_were():
    torch.manual_seed(0)
    cell = PLSTM(8, 2, lanes=4, mode="orthogonal", conv=0)
    found = cell._split(cell.project(x := torch.randn(2, 9, 8)), x)[4]
    torch.testing.assert_close(found, torch.eye(4).expand_as(found), rtol=0, atol=1e-3)


def test_only_negative_factors_count_modulo_two():
    """One lane whose factor is the sign of an input holds the parity of the signs so far."""
    x = torch.randn(1, 30, 8, generator=torch.Generator().manual_seed(0)).sign()
    for negative in (True, False):
        cell = PLSTM(8, 1, lanes=1, conv=0, negative=negative)
        with torch.no_grad():
            cell.gates.weight.zero_()
            cell.gates.weight[2, 0], cell.gates.bias[2] = 2.0, 0.0
            found = cell._split(cell.project(x), x)[4][0, :, 0, 0, 0]
        parity = found.cumprod(0)
        if negative:
            torch.testing.assert_close(parity, x[0, :, 0].cumprod(0), rtol=0, atol=1e-4)
        else:
            assert (found >= 0).all()


def test_a_factor_above_zero_is_logistic():
    strength = torch.linspace(-4, 4, 41).double()
    found = torch.tanh(5 * above_zero(strength))
    torch.testing.assert_close(found, torch.sigmoid(5 * strength))


def test_it_is_exported():
    torch.manual_seed(0)
    cell = PLSTM(8, 2, values=2, lanes=2, mode="orthogonal", negative=False).eval()
    x = torch.randn(2, 5, 8)
    program = torch.export.export(cell, (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], cell(x)[0], rtol=1e-4, atol=1e-5)
