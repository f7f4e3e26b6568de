"""Halting by a distribution: its numbers by hand, and the loss as the mean over the loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from archsearch.build import Model, build
from archsearch.depth.looping import looping
from archsearch.depth.loops import FixedDepth, SupervisedDepth
from archsearch.depth.ponder import PonderDepth, log_geometric, log_shares
from archsearch.depth.tie import Shared
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature
from archsearch.train.loss import loss, model_loss
from archsearch.train.tensors import Tensors

CATALOG = load_catalog()


class Counting(nn.Module):
    """Adds one, and remembers how often it was called."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + 1

    def initial_state(self, batch: int) -> tuple[()]:
        return ()

    def step(self, x_t: torch.Tensor, state: tuple[()]) -> tuple[torch.Tensor, tuple[()]]:
        return self(x_t), state


def constant(p: float, loops: int, **options: float) -> PonderDepth:
    """A stage that halts with the same probability after every loop."""
    depth = PonderDepth(Shared(Counting(), 1, loops), 1, loops, **options)
    nn.init.zeros_(depth.halt.weight)
    nn.init.constant_(depth.halt.bias, math.log(p / (1 - p)))
    return depth.double()


def test_the_geometric_distribution_is_cut_and_sums_to_one() -> None:
    whole = torch.tensor([0.2, 0.16, 0.128, 0.1024, 0.08192], dtype=torch.float64)
    assert float(whole.sum()) == pytest.approx(0.67232)
    torch.testing.assert_close(log_geometric(0.2, 5).exp(), whole / 0.67232)


def test_probabilities_multiply_and_the_last_loop_takes_the_rest() -> None:
    halts = torch.logit(torch.tensor([0.5, 0.2, 0.9], dtype=torch.float64))
    shares = log_shares(halts).exp()
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.1, 0.4], dtype=torch.float64))
    # a certain halt leaves nothing, and no number is lost
    sure = log_shares(torch.tensor([200.0, 0.0, 0.0]))
    assert sure.isfinite().all()
    assert float(sure.exp()[0]) == pytest.approx(1.0)


def test_the_cost_is_the_divergence_from_the_prior() -> None:
    depth, x = constant(0.3, 4, prior=0.2, weight=0.5), torch.zeros(1, 2, 1, dtype=torch.float64)
    p = torch.tensor([0.3, 0.21, 0.147, 0.343], dtype=torch.float64)
    g = torch.tensor([0.2, 0.16, 0.128, 0.1024], dtype=torch.float64)
    expected = 0.5 * float((p * (p / (g / g.sum())).log()).sum())
    found = depth.exits(x)
    torch.testing.assert_close(found.shares[:, 0, 0], p)
    assert found.cost.flatten().tolist() == pytest.approx([expected] * 2)
    assert found.outputs[:, 0, 1, 0].tolist() == [1, 2, 3, 4]
    assert depth(x)[1].cost.flatten().tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize(
    ("p", "loops", "taken"), [(0.3, 9, 2), (0.2, 9, 4), (0.6, 9, 1), (0.1, 3, 3)]
)
def test_in_use_it_halts_once_that_is_likely(p: float, loops: int, taken: int) -> None:
    depth, x = constant(p, loops).eval(), torch.zeros(2, 3, 1, dtype=torch.float64)
    y, spent = depth(x)
    assert (y == taken).all()
    assert (spent.loops == taken).all()
    assert depth.tie.body.calls == taken
    again, trained = depth.train()(x)
    assert torch.equal(again, y)
    assert torch.equal(trained.loops, spent.loops)


def network(*halting: str, every_step: bool, cell: str = "gru", head: str = "linear") -> Model:
    stages = tuple(
        Stage((Block(Layer(cell)),), loops=2 + at, halting=Layer(name))
        for at, name in enumerate(halting)
    )
    given = Architecture(width=8, stages=(*stages, Stage((Block(Layer("gru")),))), head=Layer(head))
    signature = Signature("values", 3, "class", 4, every_step=every_step, length=6)
    return build(CATALOG.complete_architecture(given), CATALOG, signature, seed=3)


def batch(every_step: bool, lengths: bool = False) -> Tensors:
    rng = torch.Generator().manual_seed(4)
    x = torch.randn(5, 6, 3, generator=rng)
    targets = torch.randint(4, (5, 6) if every_step else (5,), generator=rng)
    mask = torch.rand(5, 6, generator=rng) < 0.6 if every_step else None
    ends = torch.tensor([6, 3, 6, 2, 5] if lengths else [6] * 5)
    return Tensors(x, ends, targets, mask)


def value(model: Model, given: Tensors, signature: Signature) -> float:
    with torch.no_grad():
        return float(model_loss(model.train(), given, signature))


def tail(model: Model, h: torch.Tensor, given: Tensors) -> torch.Tensor:
    """What follows the looped stage, for the stream after it."""
    return model.head(model.norm(model.stages[1](h)[0]), given.lengths)


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize("halting", ["ponder", "supervised"])
def test_the_loss_is_the_mean_over_what_each_loop_would_answer(
    halting: str, every_step: bool
) -> None:
    model, given = network(halting, every_step=every_step), batch(every_step, not every_step)
    signature = Signature("values", 3, "class", 4, every_step=every_step, length=6)
    with torch.no_grad():
        # shares that are the same for all positions
        if halting == "ponder":
            model.stages[0].halt.weight.zero_()
        found = model.stages[0].exits(model.embed(given.inputs))
        shares = found.shares[:, 0, 0].tolist()
        assert shares == pytest.approx([0.3, 0.7] if halting == "ponder" else [0.5, 0.5])
        each = [loss(tail(model, h, given), given, signature) for h in found.outputs]
        expected = sum(s * float(one) for s, one in zip(shares, each, strict=True))
        if halting == "ponder":
            g = [0.3 / 0.51, 0.21 / 0.51]
            expected += 0.01 * sum(p * math.log(p / q) for p, q in zip(shares, g, strict=True))
    assert value(model, given, signature) == pytest.approx(expected, rel=1e-5)
    # in evaluation the loss is that of the answer
    with torch.no_grad():
        answered = loss(model.eval()(given.inputs, given.lengths)[0], given, signature)
        assert float(model_loss(model, given, signature)) == pytest.approx(float(answered))


def test_each_position_weighs_its_own_loss() -> None:
    model, given = network("ponder", every_step=True), batch(True)
    signature = Signature("values", 3, "class", 4, every_step=True, length=6)
    with torch.no_grad():
        model.stages[0].halt.weight.mul_(20)
        found = model.stages[0].exits(model.embed(given.inputs))
        assert float(found.shares.std((1, 2)).min()) > 0.05
        total = 0.0
        for h, shares in zip(found.outputs, found.shares, strict=True):
            logs = tail(model, h, given).log_softmax(-1)
            total -= sum(
                float(shares[i, t] * logs[i, t, given.targets[i, t]])
                for i, t in given.mask.nonzero().tolist()
            )
        expected = total / int(given.mask.sum()) + float(found.cost.mean())
    assert value(model, given, signature) == pytest.approx(expected, rel=1e-5)


def test_two_stages_multiply_their_ways() -> None:
    model, given = network("supervised", "supervised", every_step=True), batch(True)
    signature = Signature("values", 3, "class", 4, every_step=True, length=6)
    losses = []
    with torch.no_grad():
        for one in model.stages[0].exits(model.embed(given.inputs)).outputs:
            for two in model.stages[1].exits(one).outputs:
                said = model.head(model.norm(model.stages[2](two)[0]))
                losses.append(float(loss(said, given, signature)))
    assert len(losses) == 6
    found = value(model, given, signature)
    assert found == pytest.approx(sum(losses) / 6, rel=1e-5)


@pytest.mark.parametrize("head", ["linear", "margin"])
def test_cells_that_look_ahead_never_see_padding(head: str) -> None:
    model = network("ponder", every_step=False, cell="bidirectional", head=head)
    signature = Signature("values", 3, "class", 4, every_step=False, length=6)
    given = batch(False, lengths=True)
    padded = given.inputs.clone()
    for row, end in enumerate(given.lengths.tolist()):
        padded[row, end:] = 7.0
    other = Tensors(padded, given.lengths, given.targets, None)
    assert value(model, given, signature) == pytest.approx(value(model, other, signature), rel=1e-6)
    model_loss(model, given, signature).backward()
    assert all(p.grad is not None for p in model.stages[0].parameters())


def test_more_loops_may_be_taken_than_were_trained() -> None:
    model, x = network("none", every_step=True).eval(), torch.randn(2, 6, 3)
    body = model.stages[0].tie.body
    with torch.no_grad(), looping(model, 5):
        h = model.embed(x)
        for _ in range(5):
            h = body(h)
        torch.testing.assert_close(model.stages[0](model.embed(x))[0], h)
        assert model.loops_used(x)[0] == 5
        state = model.initial_state(2)
        for x_t in x.unbind(1):
            y_t, state = model.step(x_t, state)
        torch.testing.assert_close(y_t, model(x)[0][:, -1], rtol=1e-4, atol=1e-5)
    assert model.loops_used(x)[0] == 2


def test_a_router_has_its_number_by_its_weights() -> None:
    with (
        pytest.raises(InputError, match="RoutedDepth has its number"),
        looping(network("routed", every_step=True), 5),
    ):
        raise AssertionError
    with (
        pytest.raises(InputError, match="a network that loops"),
        looping(network(every_step=True), 5),
    ):
        raise AssertionError


def test_supervision_answers_as_plain_loops_do() -> None:
    x = torch.zeros(1, 2, 1)
    plain = FixedDepth(Shared(Counting(), 1, 3), 1, 3)(x)[0]
    assert torch.equal(SupervisedDepth(Shared(Counting(), 1, 3), 1, 3)(x)[0], plain)
