"""Adaptive computation time against the oracles of its equations, and in a stream."""

import pytest
import torch
from torch import nn

from archsearch.depth.act import AdaptiveDepth, Ponder
from archsearch.depth.tie import Shared


class Counting(nn.Module):
    """Adds one, and remembers how often it was called."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x + 1

    def initial_state(self, batch):
        return ()

    def step(self, x_t, state):
        return self(x_t), state


class Running(nn.Module):
    """A causal body with a state: a linear map of the sum so far."""

    def __init__(self, width):
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, x):
        return x + torch.tanh(self.map(x.cumsum(1)))

    def initial_state(self, batch):
        return torch.zeros(batch, self.map.in_features)

    def step(self, x_t, state):
        state = state + x_t
        return x_t + torch.tanh(self.map(state)), state


def constant(p, loops, weight=1.0, width=1, body=None):
    """A stage that halts with the same probability at every step."""
    depth = AdaptiveDepth(Shared(body or Counting(), width, loops), width, loops, 0.01, weight)
    nn.init.zeros_(depth.halt.weight)
    nn.init.constant_(depth.halt.bias, torch.logit(torch.tensor(p, dtype=torch.float64)))
    return depth.double()


@pytest.mark.parametrize(
    ("p", "steps", "remainder", "cost"),
    [(0.3, 4, 0.1, 4.1), (0.6, 2, 0.4, 2.4), (0.995, 1, 1.0, 2.0)],
)
def test_a_constant_probability_halts_where_it_should(p, steps, remainder, cost):
    ponder = Ponder.start(torch.zeros(1, dtype=torch.float64))
    given = torch.full((1,), p, dtype=torch.float64)
    weights = []
    while ponder.running.any():
        weight, ponder = ponder.weigh(given, 0.01, last=len(weights) == 9)
        weights.append(weight.item())
    assert len(weights) == steps
    assert ponder.steps.item() == steps
    assert ponder.remainder.item() == pytest.approx(remainder)
    assert ponder.cost.item() == pytest.approx(cost)
    assert sum(weights) == pytest.approx(1.0)

    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    _, spent = constant(p, loops=9, weight=0.5)(x)
    assert spent.loops.item() == steps
    assert spent.cost.item() == pytest.approx(0.5 * cost)


def test_the_answer_is_the_weighted_sum_of_the_states():
    y, _ = constant(0.3, loops=9)(torch.zeros(1, 1, 1, dtype=torch.float64))
    # states 1, 2, 3, 4 with weights .3, .3, .3, .1
    assert y.item() == pytest.approx(2.2)


def test_the_last_loop_takes_what_is_left():
    y, spent = constant(0.3, loops=2)(torch.zeros(1, 1, 1, dtype=torch.float64))
    assert y.item() == pytest.approx(0.3 * 1 + 0.7 * 2)
    assert spent.loops.item() == 2
    assert spent.cost.item() == pytest.approx(2.7)


def test_it_stops_once_every_position_has_halted():
    body = Counting()
    constant(0.6, loops=9, body=body)(torch.zeros(2, 3, 1, dtype=torch.float64))
    assert body.calls == 2


def test_the_number_of_steps_carries_no_gradient_and_the_remainder_does():
    depth = constant(0.3, loops=9)
    _, spent = depth(torch.zeros(1, 1, 1, dtype=torch.float64))
    spent.cost.sum().backward()
    # the remainder is 1 - 3 sigmoid(b), so d cost / d b = -3 p (1 - p)
    assert depth.halt.bias.grad.item() == pytest.approx(-3 * 0.3 * 0.7)


def test_gradients_are_those_of_the_function():
    torch.manual_seed(0)
    depth = AdaptiveDepth(Shared(Running(3), 3, 4), 3, 4).double()
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: depth(x)[0], (x,))


def varied(loops=5, width=3):
    """A stage whose positions halt at different times."""
    torch.manual_seed(1)
    depth = AdaptiveDepth(Shared(Running(width), width, loops, embedding=True), width, loops)
    nn.init.normal_(depth.halt.weight)
    nn.init.constant_(depth.halt.bias, -1.0)
    nn.init.normal_(depth.tie.embedding)
    return depth, torch.randn(4, 9, width)


def test_positions_halt_one_by_one():
    depth, x = varied()
    _, spent = depth(x)
    assert len(set(spent.loops.flatten().tolist())) >= 3


@pytest.mark.parametrize(("batch", "time"), [(4, 9), (1, 1), (1, 5)])
def test_a_stream_equals_the_whole(batch, time):
    depth, x = varied()
    x = x[:batch, :time]
    whole, _ = depth(x)
    state = depth.initial_state(batch)
    for t in range(time):
        y_t, state = depth.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t], rtol=1e-5, atol=1e-5)


def test_a_position_never_sees_the_future_nor_its_batch():
    depth, x = varied()
    whole, spent = depth(x)
    changed = x.clone()
    changed[:, 6:] += 10
    after, again = depth(changed)
    torch.testing.assert_close(whole[:, :6], after[:, :6], rtol=1e-6, atol=1e-6)
    assert torch.equal(spent.loops[:, :6], again.loops[:, :6])
    alone, _ = depth(x[2:3])
    torch.testing.assert_close(alone, whole[2:3], rtol=1e-5, atol=1e-6)


def test_what_the_released_universal_transformer_does_instead():
    """With p = .3 and states 1, 2, 3, 4 the shares mixed one after another fall short of one."""
    exact = constant(0.3, 4)
    mixed = constant(0.3, 4)
    mixed.mode = "t2t_basic"
    x = torch.zeros(1, 1, 1, dtype=torch.float64)
    # the first state is 1: the body adds one in every loop
    assert float(exact(x)[0].detach()) == pytest.approx(2.2)
    assert float(mixed(x)[0].detach()) == pytest.approx(1.7203)
