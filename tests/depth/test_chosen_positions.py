"""Positions that a router chooses: what they see, how many there are, how the choice is learned."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archsearch.blocks.structure.chosen import highest, step_chosen, through_chosen
from archsearch.blocks.structure.mixture_of_depths import MixtureOfDepths
from archsearch.depth.narrowed import NarrowedDepth
from archsearch.depth.tie import Shared

WIDTH = 3


class Summing(nn.Module):
    """Adds one and the sum of all positions before: what it sees shows in what it says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 + x.cumsum(1)

    def initial_state(self, batch: int) -> tuple[torch.Tensor]:
        return (torch.zeros(batch, WIDTH),)

    def step(
        self, x_t: torch.Tensor, state: tuple[torch.Tensor]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor]]:
        total = state[0] + x_t
        return x_t + 1 + total, (total,)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def test_the_highest_are_chosen_out_of_those_allowed() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 4.0, 9.0]])
    assert highest(scores, 0.5).int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]
    among = torch.tensor([[False, True, True, True]] * 2)
    assert highest(scores, 0.5, among).int().tolist() == [[0, 1, 1, 0], [0, 1, 0, 1]]


def test_chosen_positions_are_a_sequence_of_their_own() -> None:
    x = randn(4, 5, WIDTH)
    chosen = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 1, 0, 1]]) > 0
    y = through_chosen(Summing(), chosen, x)
    for row in range(4):
        places = chosen[row].nonzero().squeeze(1).tolist()
        total = torch.zeros(WIDTH)
        for t in range(5):
            if t in places:
                total = total + x[row, t]
                torch.testing.assert_close(y[row, t], x[row, t] + 1 + total)
            else:
                assert torch.equal(y[row, t], x[row, t])


def test_a_row_that_is_not_chosen_keeps_its_state() -> None:
    summing, x = Summing(), randn(2, WIDTH)
    state = tuple(summing.initial_state(1) for _ in range(2))
    y, after = step_chosen(summing.step, torch.tensor([True, False]), state, x)
    torch.testing.assert_close(y[0], 2 * x[0] + 1)
    assert torch.equal(y[1], x[1])
    assert after[1] is state[1]
    torch.testing.assert_close(after[0][0][0], x[0])


def routed(capacity: float = 0.4, every: int = 1) -> MixtureOfDepths:
    torch.manual_seed(0)
    return MixtureOfDepths([Summing(), Summing()], WIDTH, capacity, every)


def test_a_share_of_the_positions_goes_through_a_block_in_training() -> None:
    stage, x = routed(every=2).train(), randn(2, 10, WIDTH)
    assert len(stage.routers) == 1
    h = Summing()(x)
    scores = stage.routers[0](h).squeeze(-1)
    chosen = highest(scores, 0.4)
    expected = h + torch.sigmoid(scores)[..., None] * (through_chosen(Summing(), chosen, h) - h)
    torch.testing.assert_close(stage(x), expected)
    assert ((stage(x) != h).any(-1).sum(1) == 4).all()


def test_the_predictor_learns_the_choice_and_nothing_else_does() -> None:
    stage, x = routed().train(), randn(2, 10, WIDTH).requires_grad_()
    (0.0 * stage(x)).sum().backward()
    # the loss given is flat, so that what is left is the cross entropy of the choices
    scores = stage.routers[0](x).squeeze(-1)
    told = stage.predictors[0](x).squeeze(-1)
    wanted = highest(scores, 0.4).float()
    expected = torch.autograd.grad(
        nn.functional.binary_cross_entropy_with_logits(told, wanted), stage.predictors[0].bias
    )[0]
    torch.testing.assert_close(stage.predictors[0].bias.grad, expected)
    assert not stage.routers[0].weight.grad.any()
    assert not x.grad.any()


def test_the_predictor_alone_decides_in_use() -> None:
    stage, x = routed().eval(), randn(3, 8, WIDTH)
    # about as many as in training are let through at first
    assert torch.sigmoid(stage.predictors[0].bias).item() == pytest.approx(0.4, abs=1e-3)
    with torch.no_grad():
        for predictor in stage.predictors:
            predictor.weight.mul_(5)
            predictor.bias.zero_()
        whole = stage(x)
        counts = (stage.predictors[0](x) > 0).sum(1).flatten().tolist()
        assert len(set(counts)) > 1
        state = stage.initial_state(3)
        for t in range(8):
            y_t, state = stage.step(x[:, t], state)
            torch.testing.assert_close(y_t, whole[:, t], rtol=1e-4, atol=1e-5)
        changed = x.clone()
        changed[:, 5:] += 3
        torch.testing.assert_close(stage(changed)[:, :5], whole[:, :5])


def narrowed(**options: float) -> NarrowedDepth:
    torch.manual_seed(0)
    depth = NarrowedDepth(Shared(Summing(), WIDTH, 4), WIDTH, 4, **options)
    nn.init.normal_(depth.router.weight)
    return depth


def test_each_loop_keeps_a_smaller_share_of_those_before() -> None:
    depth, x = narrowed(weight=0.5).train(), randn(2, 8, WIDTH)
    y, spent = depth(x)
    for row in spent.loops.tolist():
        # of eight: all, six, four, two
        assert [sum(used >= loop for used in row) for loop in (1, 2, 3, 4)] == [8, 6, 4, 2]
    h, kept, cost = x, torch.ones(2, 8, dtype=torch.bool), torch.zeros(2, 8)
    for loop, count in enumerate((8, 6, 4, 2)):
        scores = depth.router(h)[..., loop]
        before, kept = kept, highest(scores, count / 8, kept)
        if loop:
            each = nn.functional.binary_cross_entropy_with_logits(
                scores, kept.float(), reduction="none"
            )
            cost = cost + 0.5 * each * before
        h = h + torch.sigmoid(scores)[..., None] * (through_chosen(Summing(), kept, h) - h)
    torch.testing.assert_close(y, h)
    torch.testing.assert_close(spent.cost, cost)


def test_in_use_a_position_goes_on_by_itself() -> None:
    depth, x = narrowed(scale=0.3).eval(), randn(3, 8, WIDTH)
    with torch.no_grad():
        whole, spent = depth(x)
        assert len(set(spent.loops.flatten().tolist())) > 2
        assert not spent.cost.any()
        state = depth.initial_state(3)
        for t in range(8):
            y_t, state = depth.step(x[:, t], state)
            torch.testing.assert_close(y_t, whole[:, t], rtol=1e-4, atol=1e-5)
