"""The corrected state against closed forms, finite differences, and its own promises."""

from __future__ import annotations

import pytest
import torch
from adapted_networks import CAUSAL, example, of_cell, signature
from learning_networks import Recurrence, Same, recurrence, values

from archsearch.adapt.learning.state import StateCorrection
from archsearch.build import Model
from archsearch.errors import InputError
from archsearch.spec.learnsettings import StateSettings

DECAY, RATE = 0.8, 0.3


def told(learner, inputs, targets):
    """Steps and then their truths; returns the predictions."""
    said = [learner.step(x_t) for x_t in inputs]
    for ago, target in enumerate(reversed(targets)):
        learner.observe(target, ago)
    return said


def numbers(*given):
    return [torch.tensor([[value]], dtype=torch.float64) for value in given]


@pytest.mark.parametrize("steps", [1, 3])
def test_a_linear_recurrence_moves_as_calculated(steps):
    """h_i = a^i s + c_i, so dL/ds is the mean of a^i (h_i - y_i) over the window."""
    learner = StateCorrection(
        *recurrence(DECAY), StateSettings(window=4, steps=steps, rate=RATE, max_norm=10.0, recent=0)
    )
    inputs, targets = numbers(1.0, -0.5, 2.0, 0.25), numbers(3.0, 2.0, 1.0, 4.0)
    h = [float(said) for said in told(learner, inputs, targets)]
    assert learner.update()
    s = 0.0
    for _ in range(steps):
        errors = [h[i] + DECAY ** (i + 1) * s - float(targets[i]) for i in range(4)]
        s -= RATE * sum(DECAY ** (i + 1) * e for i, e in enumerate(errors)) / 4
    following = learner.step(numbers(0.0)[0])
    assert float(following) == pytest.approx(DECAY * (h[3] + DECAY**4 * s), rel=1e-6)
    assert float(learner.frozen) == pytest.approx(DECAY * h[3], rel=1e-12)


def test_one_newton_step_of_one_known_step_is_exact():
    """With a rate of 1 / a^2 a quadratic of one number is solved at once."""
    learner = StateCorrection(
        *recurrence(DECAY), StateSettings(window=1, rate=DECAY**-2, max_norm=10.0, recent=0)
    )
    (before,) = told(learner, numbers(1.0), numbers(2.0))
    assert float(before) == 1.0
    assert learner.update()
    assert float(learner.step(numbers(0.0)[0])) == pytest.approx(DECAY * 2.0, rel=1e-6)
    assert learner.moved == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm", "lru", "deltanet", "titans"])
@pytest.mark.parametrize("targets", ["value", "class"])
def test_the_state_moves_along_the_gradient(cell, targets):
    given = signature(every_step=True, targets=targets)
    model = of_cell(cell, given, dtype=torch.float64, tie=None)
    rate = 1e-3
    learner = StateCorrection(model, given, StateSettings(window=5, rate=rate, max_norm=1e6))
    truth = torch.tensor([1]) if targets == "class" else torch.ones(1, 3)
    for x_t in example(given, 1).double().unbind(1):
        learner.step(x_t)
        learner.observe(truth)
    state, _ = learner._seen[0].before
    moved_from = [t for t in _flat(state[1]) if t.is_floating_point()]
    assert learner.update()
    after, _ = learner._seen[0].before
    moved_to = [t for t in _flat(after[1]) if t.is_floating_point()]
    moves = [b - a for a, b in zip(moved_from, moved_to, strict=True)]
    square = sum(float((move / rate).square().sum()) for move in moves)
    # along its own gradient a function changes by the square of the gradient's length
    small = 1e-7
    ahead, behind = (_shifted(state, moves, sign * small / rate) for sign in (-1, 1))
    with torch.no_grad():
        slope = float(learner.window_loss(ahead) - learner.window_loss(behind)) / (2 * small)
    assert slope == pytest.approx(square, rel=1e-3)
    assert square > 0


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("cell", CAUSAL)
def test_the_loss_of_the_window_never_rises(cell):
    """With every causal cell, at a rate that overshoots; and all of it is forgotten."""
    given = signature(targets="value")
    settings = StateSettings(window=2, rate=1e3, halvings=2, recent=0)
    learner = StateCorrection(of_cell(cell, given), given, settings)
    exported = learner.digest()
    for step, x_t in enumerate(example(given, 1, time=4).unbind(1)):
        assert learner.step(x_t).isfinite().all()
        learner.observe(torch.full((1, 3), float(step)))
        before, _ = learner._seen[0].before
        with torch.no_grad():
            loss = float(learner.window_loss(before))
        learned = learner.update()
        after, _ = learner._seen[0].before
        with torch.no_grad():
            now = float(learner.window_loss(after))
        assert (now < loss) if learned else (now == loss)
    assert learner.updates + learner.refused == 4
    learner.forget()
    assert learner.digest() == exported


def test_the_state_stays_within_reach_of_the_export():
    near = StateCorrection(*recurrence(1.0), StateSettings(window=2, rate=1.0, max_norm=0.1))
    for _ in range(6):
        near.step(torch.ones(1, 1, dtype=torch.float64))
        near.observe(torch.full((1, 1), 1e3))
        assert near.update()
        assert near.moved == pytest.approx(0.1, rel=1e-5)


def test_a_network_without_a_state_is_refused():
    class Nothing(Recurrence):
        def initial_state(self, batch):
            return ()

    model = Model(Same(), [Nothing(2, 0.0)], Same(), Same())
    with pytest.raises(InputError, match="keeps no state; take --learn memory"):
        StateCorrection(model, values(2, 2))


def _flat(nested):
    if isinstance(nested, torch.Tensor):
        return [nested]
    return [tensor for part in nested for tensor in _flat(part)]


def _shifted(state, moves, size):
    left = iter(moves)

    def moved(nested):
        if isinstance(nested, torch.Tensor):
            return nested + size * next(left) if nested.is_floating_point() else nested
        return type(nested)(moved(part) for part in nested)

    return state[0], moved(state[1]), state[2]
