"""Networks applied along chains: whole, in groups, with what is shared, and in a stream."""

import random

import pytest
import torch
from adapted_networks import (
    CAUSAL,
    CELL_NAMES,
    any_chain,
    example,
    made,
    network,
    of_cell,
    signature,
    small,
)

from archsearch.adapt.chain import Chain, enumerated
from archsearch.adapt.steps import ChainSteps
from archsearch.adapt.walk import Walk
from archsearch.spec.architecture import Block, Layer, Stage

LENGTHS = torch.tensor([7, 3, 1, 7])


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("every_step", [False, True])
def test_the_plain_chain_is_the_network_to_the_last_bit(cell, every_step):
    if every_step and cell not in CAUSAL:
        cell = "gru"
    given = signature(every_step)
    model = of_cell(cell, given)
    walk, x = Walk(model), example(given)
    assert torch.equal(walk.run(walk.plain, x), model(x)[0])
    assert torch.equal(walk.run(walk.plain, x, LENGTHS), model(x, LENGTHS)[0])


def test_positions_are_blocks_and_loops_and_what_holds_together():
    block = Block(Layer("gru"))
    model = made(
        network(
            Stage((block, block)),
            Stage((block, block), loops=3),
            Stage((block, block), connections=Layer("dense")),
            Stage((block,), loops=4, halting=Layer("act")),
            Stage((block,), loops=2, halting=Layer("varied")),
        )
    )
    walk = Walk(model)
    assert walk.costs == (1, 1, 2, 2, 2, 2, 4, 1, 1)
    assert [unit.stage for unit in walk.units] == [0, 0, 1, 1, 1, 2, 3, 4, 4]
    x = example(signature())
    assert torch.equal(walk.run(walk.plain, x), model(x)[0])


def test_a_position_left_out_is_not_applied():
    model = small()
    walk, x = Walk(model), example(signature())
    first, second, *_ = model.stages[0].tie.body.blocks
    stage, last = model.stages[1], model.stages[2].tie.body.blocks[0]
    h = model.embed(x)
    entered = first(h)
    looped = stage.tie(stage.tie(stage.tie(entered, 0, entered), 2, entered), 2, entered)
    expected = model.head(model.norm(last(looped)))
    assert torch.equal(walk.run(Chain((0, 2, 4, 4, 5)), x), expected)
    assert not torch.equal(walk.run(Chain((0, 2, 3, 4, 5)), x), expected)
    assert torch.equal(
        walk.run(Chain((0, 0, 1)), x), model.head(model.norm(second(first(first(h)))))
    )
    assert torch.equal(walk.run(Chain(), x), model.head(model.norm(h)))


def test_each_loop_keeps_what_is_its_own():
    model = of_cell("gru", signature(), tie=Layer("injected"))
    walk, x = Walk(model), example(signature())
    stage, h = model.stages[1], model.embed(x)
    for block in model.stages[0].tie.body.blocks:
        h = block(h)
    # what came into the stage, not what the loop before left
    expected = stage.tie(stage.tie(h, 1, h), 1, h)
    assert torch.equal(walk.run(Chain((0, 1, 3, 3)), x), model.head(model.norm(expected)))


@pytest.mark.parametrize("cell", ["gru", "attention", "bidirectional"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_a_batch_of_chains_equals_them_one_by_one(cell, lengths):
    given = signature()
    walk, x = Walk(of_cell(cell, given)), example(given)
    chains = [Chain((0, 1)), Chain((0, 2, 2)), Chain((0, 1)), Chain()]
    together = walk.run_each(chains, x, lengths)
    for row, chain in enumerate(chains):
        length = x.shape[1] if lengths is None else int(lengths[row])
        alone = walk.run(chain, x[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_what_chains_share_is_applied_once(lengths, monkeypatch):
    walk, x = Walk(of_cell("gru", signature())), example(signature())
    calls, advance = [], walk.advance

    def counted(stand, position):
        calls.append(position)
        return advance(stand, position)

    monkeypatch.setattr(walk, "advance", counted)
    found = dict(walk.run_all(enumerated(4), x, lengths))
    assert len(found) == 3**4
    assert len(calls) == 3**4 - 1
    for chain, answer in found.items():
        assert torch.equal(answer, walk.run(chain, x, lengths))


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("every_step", [False, True])
def test_a_stream_along_a_chain_equals_the_whole(cell, every_step):
    if every_step and cell not in CAUSAL:
        cell = "lstm"
    given = signature(every_step)
    walk = Walk(of_cell(cell, given, dtype=torch.float64))
    chain = Chain(any_chain(random.Random(f"{cell} {every_step}"), walk.depth))
    whole_and_stream(walk, chain, example(given).double(), every_step)


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_steps_that_leave_positions_out_equal_the_whole(cell):
    given = signature()
    walk = Walk(of_cell(cell, given, dtype=torch.float64))
    chain = Chain(any_chain(random.Random(cell), walk.depth) or (0,))
    generator = torch.Generator().manual_seed(len(chain))
    on = torch.rand(4, 7, len(chain), generator=generator) < 0.6
    # a step at which no row applies the first place
    on[:, 3, 0] = False
    whole_and_stream(walk, chain, example(given).double(), False, on)


def whole_and_stream(walk, chain, x, every_step, on=None):
    steps = ChainSteps(walk, chain)
    state = steps.initial_state(len(x))
    if on is None:
        assert torch.equal(steps.forward(x), walk.run(chain, x))
    for t in range(x.shape[1]):
        now = None if on is None else on[:, t]
        said, state = steps.step(x[:, t], state, now)
        whole = steps.forward(x[:, : t + 1], on=None if on is None else on[:, : t + 1])
        expected = whole[:, t] if every_step else whole
        torch.testing.assert_close(said, expected, rtol=1e-8, atol=1e-8)


def test_a_step_left_out_is_remembered():
    """Were it not read into the state, what follows would be as if it had not been there."""
    walk = Walk(of_cell("gru", signature(), dtype=torch.float64))
    steps, x = ChainSteps(walk, walk.plain), example(signature()).double()
    on = torch.ones(4, 7, walk.depth, dtype=torch.bool)
    on[:, 2, 0] = False
    changed = x.clone()
    changed[:, 2] += 1
    one, other = steps.forward(x, on=on), steps.forward(changed, on=on)
    assert (one - other).abs().min() > 1e-6
    assert not torch.equal(one, steps.forward(x))
