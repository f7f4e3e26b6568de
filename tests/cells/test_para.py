"""The parallel cells: against their equations, and deaf between units."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.paragru import ParaGRU
from archsearch.cells.recurrent.paralstm import ParaLSTM
from archsearch.kernels.recurrences import diagonal

WIDTH = 6


def drawn(kind, **options):
    torch.manual_seed(0)
    cell = kind(WIDTH, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    return cell, torch.randn(2, 20, WIDTH, dtype=torch.float64)


def test_paragru_is_a_gru_with_diagonal_matrices():
    cell, x = drawn(ParaGRU)
    gru = GRU(WIDTH, reset="before").double()
    order = [1, 0, 2]  # a GRU has the reset gate first, and its update gate is one minus ours
    with torch.no_grad():
        weights, biases = cell.input.weight.chunk(3), cell.bias.chunk(3)
        gru.input.weight.copy_(torch.cat([weights[gate] for gate in order]))
        gru.input.bias.copy_(torch.cat([biases[gate] for gate in order]))
        gru.recurrent.weight.copy_(torch.cat([cell.a[gate].diag() for gate in order]))
        for part in (gru.input.weight, gru.input.bias, gru.recurrent.weight):
            part[WIDTH : 2 * WIDTH].neg_()
    torch.testing.assert_close(cell(x)[0], gru(x)[0])


def test_paralstm_follows_its_equations():
    cell, x = drawn(ParaLSTM)
    h = c = x.new_zeros(2, WIDTH)
    outputs = []
    for x_t in x.unbind(1):
        f, z, o = (x_t @ cell.input.weight.t() + cell.bias).split(WIDTH, -1)
        f = (f + cell.a[0] * h + cell.p[0] * c).sigmoid()
        c = f * c + (1 - f) * (z + cell.a[1] * h).tanh()
        h = (o + cell.a[2] * h + cell.p[1] * c).sigmoid() * c.tanh()
        outputs.append(h)
    torch.testing.assert_close(cell(x)[0], torch.stack(outputs, 1))


@pytest.mark.parametrize("kind", [ParaGRU, ParaLSTM])
def test_units_hear_only_themselves_between_steps(kind):
    cell, x = drawn(kind)

    def output(*state):
        return cell.step(x[:1, 0], state)[0][0]

    state = tuple(torch.randn(1, WIDTH).double() for _ in cell.initial_state(1))
    for jacobian in torch.autograd.functional.jacobian(output, state):
        square = jacobian[:, 0]
        assert square.diag().all()
        assert not (square - square.diag().diag()).any()


@pytest.mark.parametrize("kind", [ParaGRU, ParaLSTM])
def test_heads_mix_within_a_block_of_inputs(kind):
    cell, x = drawn(kind, heads=3)
    x = x[:1, 0]
    jacobian = torch.autograd.functional.jacobian(
        lambda given: cell.step(given, cell.initial_state(1))[0], x
    )[0, :, 0]
    blocks = torch.block_diag(*[torch.ones(2, 2)] * 3).bool()
    assert jacobian[blocks].all()
    assert not jacobian[~blocks].any()


@pytest.mark.parametrize("kind", [ParaGRU, ParaLSTM])
def test_a_clip_bounds_the_recurrent_weights(kind):
    clipped, x = drawn(kind, clip=0.5)
    free = kind(WIDTH).double()
    free.load_state_dict(clipped.state_dict())
    assert not torch.allclose(free(x)[0], clipped(x)[0])
    with torch.no_grad():
        for name, parameter in free.named_parameters():
            if name in free.no_decay:
                parameter.clamp_(-0.5, 0.5)
    torch.testing.assert_close(free(x)[0], clipped(x)[0])


def test_few_long_rows_are_solved_at_once_and_give_what_the_loop_gives(monkeypatch):
    torch.manual_seed(0)
    cell = ParaGRU(WIDTH).double()
    x = torch.randn(2, 600, WIDTH, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, WIDTH, dtype=torch.float64, requires_grad=True)
    parts, weight, found = (x, h, *cell.parameters()), torch.randn_like(x), {}
    for way, limit in (("newton", diagonal.SMALL), ("loop", 0)):
        monkeypatch.setattr(diagonal, "SMALL", limit)
        y, (after,) = cell(x, (h,))
        assert torch.equal(after, y[:, -1])
        names = {type(y.grad_fn).__name__}
        assert names != {"StackBackward0"} if way == "newton" else names == {"StackBackward0"}
        found[way] = (y, *torch.autograd.grad(y, parts, weight))
    for fast, slow in zip(found["newton"], found["loop"], strict=True):
        torch.testing.assert_close(fast, slow)
