"""Messages between positions in compiled loops against their plain form and their equation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from archsearch.kernels.choose import VARIABLE
from archsearch.kernels.compiled import compiled
from archsearch.kernels.lane_masks import above_zero, where
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.memories import messages_cpu
from archsearch.kernels.memories.messages import messages

torch.set_num_threads(1)

# rows, steps, rows before, width: one of everything, fewer and more before than the reach
SHAPES = [(1, 1, 0, 16), (3, 2, 1, 48), (5, 23, 9, 32), (2, 81, 70, 16), (1, 40, 0, 80)]
# reach, maps
SIZES = [(1, 0), (5, 1), (33, 0), (64, 1), (20, 3)]


@pytest.fixture
def calls(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    seen = []
    apply = messages_cpu._Messages.apply
    monkeypatch.setattr(
        messages_cpu._Messages, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


def problem(shape, size):
    """Steps first in memory."""
    (rows, steps, before, width), (reach, maps) = shape, size
    torch.manual_seed(0)
    own = torch.randn(steps, rows, width).transpose(0, 1)
    others = torch.randn(before + steps, rows, width).transpose(0, 1)
    weights = [width**-0.5 * torch.randn(width, width) for _ in range(maps)]
    return [own, others, torch.randn(reach, width), *weights, *torch.randn(maps, width).unbind()]


def leaves(inputs, dtype):
    """As they are outside of maps, and parameters of maps; strides stay."""
    given = [part.detach().to(dtype).requires_grad_() for part in inputs]
    return [*given[:3], *map(nn.Parameter, given[3:])]


def layers(given):
    """Linear maps of the weights and biases after the first three."""
    maps = [nn.Linear(1, 1) for _ in given[3::2]]
    for layer, weight, bias in zip(
        maps, given[3 : 3 + len(maps)], given[3 + len(maps) :], strict=True
    ):
        layer.weight, layer.bias = weight, bias
    return maps


def run(form, inputs, dtype):
    """The mean, and slopes of a sum where each element has a weight of its own."""
    given = leaves(inputs, dtype)
    y = form(*given[:3], layers(given))
    torch.manual_seed(1)
    weight = torch.randn(y.shape, dtype=torch.float64).to(dtype)
    return [y, *torch.autograd.grad(y, given, weight)]


def one_by_one(own, rows, ages, maps):
    past = rows.shape[1] - own.shape[1]
    found = []
    for t in range(own.shape[1]):
        came = []
        for j in range(max(past + t + 1 - len(ages), 0), past + t + 1):
            message = torch.relu(own[:, t] + rows[:, j] + ages[past + t - j])
            for layer in maps:
                message = torch.relu(message @ layer.weight.t() + layer.bias)
            came.append(message)
        found.append(sum(came) / len(came))
    return torch.stack(found, 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loops_equal_the_plain_form(shape, size, calls):
    inputs = problem(shape, size)
    kept = [part.clone() for part in inputs]
    ours, plain, exact = (
        run(form, inputs, dtype)
        for form, dtype in (
            (messages, torch.float32),
            (messages.plain, torch.float32),
            (messages.plain, torch.float64),
        )
    )
    assert calls == [1]
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))
    for found, other, true in zip(ours, plain, exact, strict=True):
        assert found.shape == true.shape
        scale = true.abs().max().clamp_min(1e-6)
        error, allowed = ((part - true).abs().max() / scale for part in (found, other))
        assert error < 4 * allowed + 4e-6


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_plain_form_is_what_its_equation_says(size):
    inputs = problem((2, 41, 7, 4), size)
    for found, true in zip(
        run(messages.plain, inputs, torch.float64),
        run(one_by_one, inputs, torch.float64),
        strict=True,
    ):
        torch.testing.assert_close(found, true)


def test_what_is_no_number_reaches_those_that_look_at_it_alone(calls):
    inputs = problem((3, 50, 4, 16), (5, 1))
    inputs[1] = inputs[1].clone()
    inputs[1][1, 4 + 20] = torch.nan
    given = leaves(inputs, torch.float32)
    y = messages(*given[:3], layers(given))
    assert y.isnan().any(-1).nonzero().tolist() == [[1, t] for t in range(20, 25)]
    own, rows = torch.autograd.grad(y[:, :20].sum() + y[:, 25:].sum(), given[:2])
    assert own.isfinite().all()
    reached = rows.isnan().any(-1).nonzero().tolist()
    assert reached in ([], [[1, 24]])
    assert calls == [1]


def test_what_the_loops_do_not_fit_is_left_to_torch(calls):
    run(messages, problem((2, 5, 0, 20), (3, 1)), torch.float32)
    run(messages, problem((2, 5, 0, 16), (3, 1)), torch.float64)
    given = leaves(problem((2, 5, 0, 16), (3, 1)), torch.float32)
    maps, seen = layers(given), []
    with torch.no_grad():
        messages(*given[:3], maps)
    maps[0].register_forward_pre_hook(lambda *_: seen.append(1))
    messages(*given[:3], maps)
    assert seen == [1]
    assert calls == []


@compiled
def mask(x: np.ndarray, y: np.ndarray, bits: np.ndarray) -> None:
    bits[0] = above_zero(load(x, 0))
    store(y, 0, where(bits[0], load(x, 0)))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_bits_say_which_numbers_are_above_zero(kind):
    x = np.linspace(-4, 11, WIDTH).astype(kind)
    x[[0, 9, 15]] = np.nan, -0.0, -np.inf
    y, bits = np.full(WIDTH, 7, kind), np.zeros(1, np.int16)
    mask(x, y, bits)
    expected = [place == 0 or x[place] > 0 for place in range(WIDTH)]
    assert [bool(int(bits[0]) >> place & 1) for place in range(WIDTH)] == expected
    np.testing.assert_array_equal(y, np.where(expected, x, 0))
