"""What every learner owes: the export before it learns, nothing learned from NaN, all forgotten."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from adapted_networks import example, made, network, of_cell, signature, small
from learning_networks import linear

from archsearch.adapt.chain import Chain
from archsearch.adapt.learning.open import open_learner
from archsearch.adapt.steps import ChainSteps
from archsearch.adapt.walk import Walk
from archsearch.errors import DataError, InputError, StateError
from archsearch.spec.architecture import Block, Layer, Stage
from archsearch.spec.learnsettings import MemorySettings, StateSettings

SETTINGS = {
    "state": StateSettings(window=4, rate=5.0, recent=0),
    "memory": MemorySettings(rate=0.5, recent=0),
    "adapter": MemorySettings(where="adapter", rank=4, rate=0.5, recent=0),
}
EVERY = pytest.mark.parametrize("kind", SETTINGS)
NUMBERS, CLASSES = signature(targets="value"), signature(every_step=True)


def truths(given, batch, seed=1):
    generator = torch.Generator().manual_seed(seed)
    if given.targets == "class":
        return torch.randint(given.outputs, (batch,), generator=generator)
    return torch.randn(batch, given.outputs, generator=generator)


def streamed(learner, given, seed=0, learn=True):
    """Answers to seven steps, each told and learned from before the next."""
    said = []
    for step, x_t in enumerate(example(given, learner.batch, seed=seed).unbind(1)):
        said.append(learner.step(x_t))
        if learn:
            learner.observe(truths(given, learner.batch, step))
            learner.update()
    return torch.stack(said)


@EVERY
@pytest.mark.parametrize("cell", ["gru", "lru", "mamba", "attention", "titans"])
def test_it_learns_and_forgets(kind, cell):
    given = CLASSES if len(cell) % 2 else NUMBERS
    learner = open_learner(of_cell(cell, given), given, SETTINGS[kind], batch=2)
    before = learner.digest()
    learned = streamed(learner, given)
    assert learned.isfinite().all()
    assert learner.updates > 0
    assert learner.moved > 0
    assert learner.digest() != before
    learner.forget()
    assert learner.digest() == before
    assert (learner.updates, learner.refused, learner.moved) == (0, 0, 0.0)
    state, expected = learner.model.initial_state(2), []
    for x_t in example(given, 2).unbind(1):
        prediction, state = learner.model.step(x_t, state)
        expected.append(prediction)
    assert torch.equal(streamed(learner, given, learn=False), torch.stack(expected))


@EVERY
def test_the_first_answer_and_the_frozen_ones_are_the_exports(kind):
    model, state = deepcopy(small()), small().initial_state(2)
    given = signature()
    learner = open_learner(model, given, SETTINGS[kind], batch=2)
    for place, x_t in enumerate(example(given, 2).unbind(1)):
        expected, state = model.step(x_t, state)
        said = learner.step(x_t)
        assert torch.equal(learner.frozen, expected)
        assert torch.equal(said, expected) == (learner.updates == 0)
        learner.observe(truths(given, 2))
        assert learner.update() or place


@EVERY
def test_the_weights_of_the_export_are_never_written(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    kept = {name: value.clone() for name, value in learner.model.state_dict().items()}
    streamed(learner, NUMBERS)
    for name, value in learner.model.state_dict().items():
        assert torch.equal(value, kept[name])


@EVERY
def test_forgetting_takes_back_what_somebody_else_wrote(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    before = learner.digest()
    with torch.no_grad():
        learner.model.head.project.weight.add_(1)
    assert learner.digest() != before
    learner.forget()
    assert learner.digest() == before
    learner.model.register_buffer("more", torch.ones(1))
    with pytest.raises((StateError, ValueError)):
        learner.forget()


@EVERY
def test_learning_helps_where_the_world_changed(kind):
    """All truths are two higher than the network says."""
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    errors = []
    for x_t in example(NUMBERS, 1, time=40).unbind(1):
        said = learner.step(x_t)
        errors.append(float((said - learner.frozen - 2).abs().mean()))
        learner.observe(learner.frozen + 2)
        learner.update()
    assert errors[0] == pytest.approx(2)
    assert sum(errors[-5:]) / 5 < 1.9


@EVERY
def test_what_is_not_known_is_not_learned(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    assert not learner.update()
    learner.step(example(NUMBERS, 1)[:, 0])
    before = learner.digest()
    learner.observe(torch.full((1, 3), torch.nan))
    assert not learner.update()
    assert (learner.updates, learner.refused) == (0, 0)
    assert learner.digest() == before
    learner.observe(torch.tensor([[torch.nan, 1.0, torch.nan]]))
    assert learner.update()
    after = learner.digest()
    # it stays what it was told first, and is learned once
    learner.observe(torch.tensor([[torch.nan, 9.0, torch.nan]]))
    assert not learner.update()
    assert learner.digest() == after


@EVERY
def test_a_loss_that_is_not_finite_is_refused(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    learner.step(example(NUMBERS, 1)[:, 0])
    before = learner.digest()
    learner.observe(torch.full((1, 3), 1e30))
    assert not learner.update()
    assert (learner.updates, learner.refused) == (0, 1)
    assert learner.digest() == before


@EVERY
def test_truths_that_do_not_fit(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind], batch=2)
    with pytest.raises(DataError, match="ago: expected a number below 0"):
        learner.observe(torch.zeros(2, 3))
    learner.step(example(NUMBERS, 2)[:, 0])
    for wrong in (torch.zeros(2), torch.zeros(1, 3), torch.full((2, 3), torch.inf)):
        with pytest.raises(DataError, match="targets: expected"):
            learner.observe(wrong)
    classes = open_learner(of_cell("gru", CLASSES), CLASSES, SETTINGS[kind])
    classes.step(example(CLASSES, 1)[:, 0])
    for wrong in (torch.tensor([3]), torch.tensor([0.5]), torch.tensor([-2])):
        with pytest.raises(DataError, match="targets: expected"):
            classes.observe(wrong)


@EVERY
def test_a_cell_that_sees_the_future_is_refused(kind):
    model = made(network(Stage((Block(Layer.of("attention", pattern="full")),))), signature())
    model.causal = False
    with pytest.raises(InputError, match="sees the steps to come"):
        open_learner(model, signature(), SETTINGS[kind])


@EVERY
def test_a_chain_learns_too(kind):
    given, model = signature(), deepcopy(small())
    chain = Chain((0, 2, 2, 5))
    learner = open_learner(model, given, SETTINGS[kind], batch=2, chain=chain)
    steps, before = ChainSteps(Walk(model), chain), learner.digest()
    state = steps.initial_state(2)
    for x_t in example(given, 2).unbind(1):
        expected, state = steps.step(x_t, state)
        learner.step(x_t)
        assert torch.equal(learner.frozen, expected)
        learner.observe(truths(given, 2))
        learner.update()
    assert learner.updates > 0
    learner.forget()
    assert learner.digest() == before


@EVERY
def test_a_sequence_begins_anew(kind):
    learner = open_learner(of_cell("gru", NUMBERS), NUMBERS, SETTINGS[kind])
    first = streamed(learner, NUMBERS)[0]
    learner.begin()
    again = learner.step(example(NUMBERS, 1)[:, 0])
    # a state is of one sequence, what was written beside the head is not
    assert torch.equal(first, again) == (kind == "state")
    assert torch.equal(learner.frozen, first)


@pytest.mark.parametrize("helps", [True, False])
def test_the_export_answers_while_it_does_better(helps):
    """Truths are what the export said, or far from it; a learner that errs is not asked."""
    model, given = linear(1, 1)
    learner = open_learner(model, given, MemorySettings(rate=1.0, max_norm=1e3))
    learner.step(torch.ones(1, 1, dtype=torch.float64))
    # a hundred is learned, which is right from then on or never again
    learner.observe(torch.full((1, 1), 100.0))
    learner.update()
    differs = 0
    for _ in range(20):
        said = learner.step(torch.ones(1, 1, dtype=torch.float64))
        differs += not torch.equal(said, learner.frozen)
        learner.observe(torch.full((1, 1), 100.0) if helps else learner.frozen.float())
    # the first truth was told before anything was learned, so there was no lead yet
    assert differs == (19 if helps else 0)
    assert learner.held == 21 - differs
