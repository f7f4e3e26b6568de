"""The sLSTM against its equations without the running maximum, and what the maximum is for."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.slstm import SLSTM

WIDTH, HEADS = 8, 2


def by_hand(cell, x):
    """Equations 8 to 15 of Beck et al. 2024 with c and n as they are."""
    size = WIDTH // HEADS
    blocks = cell.recurrent.weight.view(4, HEADS, size, size)
    matrices = [torch.block_diag(*gate) for gate in blocks]
    weights, biases = cell.input.weight.chunk(4), cell.input.bias.chunk(4)
    h = c = n = x.new_zeros(len(x), WIDTH)
    outputs = []
    for x_t in x.unbind(1):
        i, f, z, o = (
            x_t @ weight.t() + bias + h @ matrix.t()
            for weight, bias, matrix in zip(weights, biases, matrices, strict=True)
        )
        f = f.sigmoid() if cell.sigmoid else f.exp()
        c = f * c + i.exp() * z.tanh()
        n = f * n + i.exp()
        h = o.sigmoid() * c / n
        outputs.append(h)
    return torch.stack(outputs, 1)


def drawn(**options):
    torch.manual_seed(0)
    cell = SLSTM(WIDTH, heads=HEADS, norm=False, **options).double()
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return cell


@pytest.mark.parametrize("forget", ["sigmoid", "exp"])
def test_it_follows_its_equations_and_so_do_its_gradients(forget):
    cell = drawn(forget=forget)
    x = torch.randn(3, 12, WIDTH, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(x)
    got, wanted = cell(x)[0], by_hand(cell, x)
    torch.testing.assert_close(got, wanted)
    parts = (x, *cell.parameters())
    for fast, slow in zip(
        torch.autograd.grad(got, parts, weight),
        torch.autograd.grad(wanted, parts, weight),
        strict=True,
    ):
        torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("shift", [-500.0, 500.0])
def test_a_shift_of_all_input_gates_changes_nothing(shift):
    cell = drawn()
    x = torch.randn(2, 30, WIDTH, dtype=torch.float64)
    before = cell(x)[0]
    with torch.no_grad():
        cell.input.bias[:WIDTH] += shift
    torch.testing.assert_close(cell(x)[0], before)


def test_the_normaliser_never_falls_below_one():
    cell = drawn(forget="exp")
    x = 20 * torch.randn(2, 200, WIDTH, dtype=torch.float64)
    state = cell.initial_state(2)
    for x_t in x.unbind(1):
        _, state = cell.step(x_t, state)
        assert (state[2] >= 1).all()


def test_forget_biases_fall_from_five_to_minus_seven_within_a_head():
    bias = SLSTM(WIDTH, heads=HEADS).input.bias.detach()[WIDTH : 2 * WIDTH]
    first, second = bias.chunk(HEADS)
    assert torch.equal(first, second)
    torch.testing.assert_close(first[[0, -1]], torch.tensor([5.0, -7.0]))
    assert (first.diff() < 0).all()
    assert SLSTM(4, heads=4)(torch.randn(1, 3, 4))[0].isfinite().all()


def test_the_norm_is_over_each_head_of_each_position():
    torch.manual_seed(0)
    cell = SLSTM(64, heads=4)
    y = cell(torch.randn(2, 50, 64))[0].unflatten(-1, (4, 16))
    torch.testing.assert_close(y.mean(-1), torch.zeros(2, 50, 4), rtol=0, atol=1e-5)
    assert (y[:, 10:].var(-1, unbiased=False) - 1).abs().max() < 0.05
