"""Model soups: copies that share a mask, their average, and rounds of pruning it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from trained import STEPS, batch, loss, masked, model, train

from archsearch.build import Model
from archsearch.sparsity.masks import Setting
from archsearch.sparsity.soups import Course, Soup, average, soup
from archsearch.spec.architecture import Layer

EVEN = {"begin": 0.0, "rounds": 2, "copies": 3, "density": 0.25, "allocation": "uniform"}


def test_the_course_of_a_training() -> None:
    course = Course.over(100, 0.4, 3, 3)
    assert course.dense == 40
    assert course.ends == (46, 53, 60, 66, 73, 80, 86, 93, 100)
    assert [course.prunings(made) for made in (0, 39, 40, 59, 60, 79, 80, 100)] == [
        *(0, 0, 1, 1, 2, 2, 3, 3)
    ]
    assert course.piece(40) == (-1, 0, 40)
    assert course.piece(41) == (0, 40, 46)
    assert course.piece(46) == (0, 40, 46)
    assert course.piece(100) == (8, 93, 100)


@pytest.mark.parametrize("steps", [1, 2, 5, 12])
@pytest.mark.parametrize("begin", [0.0, 0.4, 1.0])
def test_a_short_training_has_less_copies_and_every_one_of_them_an_update(
    steps: int, begin: float
) -> None:
    course = Course.over(steps, begin, 3, 4)
    assert course.ends[-1] == steps
    assert course.dense < course.ends[0]
    assert sorted(set(course.ends)) == list(course.ends)
    assert len(course.ends) == course.rounds * course.copies


def alone(start: Model, mask: dict[str, Tensor], first: int, last: int) -> Model:
    """One copy trained on its own, with nothing but a mask that is applied after each update."""
    network = copy.deepcopy(start)
    optimizer = torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.1)
    for step in range(first, last + 1):
        optimizer.zero_grad()
        loss(network, step).backward()
        for name, kept in mask.items():
            network.get_parameter(name).grad.mul_(kept)
        optimizer.step()
        with torch.no_grad():
            for name, kept in mask.items():
                network.get_parameter(name).mul_(kept)
    return network


def test_each_round_is_the_average_of_copies_trained_apart() -> None:
    network, byhand = model(), model()
    masks = masked(network, Layer.of("soup", **EVEN))
    for _ in train(network, masks):
        pass
    step = 0
    for density in (0.5, 0.25):
        mask = {}
        for name in masks.masks:
            weight = byhand.get_parameter(name)
            size = weight.abs().flatten().sort(descending=True).values
            mask[name] = weight.abs() >= size[round(density * weight.numel()) - 1]
            weight.data.mul_(mask[name])
        copies = []
        for _ in range(3):
            copies.append(alone(byhand, mask, step + 1, step + 2))
            step += 2
        for name, parameter in byhand.named_parameters():
            parameter.data = torch.stack([c.get_parameter(name).data for c in copies]).mean(0)
    assert step == STEPS
    for name, kept in masks.masks.items():
        assert torch.equal(kept, mask[name])
    for one, other in zip(network.parameters(), byhand.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_a_round_keeps_the_same_share_and_the_last_what_was_asked_for() -> None:
    network = model()
    masks = masked(network, Layer.of("soup", density=0.05, begin=0.25, rounds=3, copies=3))
    size = sum(mask.numel() for mask in masks.masks.values())
    left = {step: round(masks.density().prunable * size) for step, _ in train(network, masks)}
    share = 0.05 ** (1 / 3)
    assert left[2] == size
    assert left[3] == left[5] == round(share * size)
    assert left[6] == left[8] == round(share**2 * size)
    assert left[9] == left[12] == round(0.05 * size)
    assert int(sum((w != 0).sum() for w in masks.weights.values())) == left[12]


def test_copies_begin_alike_and_their_optimizer_knows_nothing() -> None:
    network = model()
    masks = masked(network, Layer.of("soup", **EVEN))
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for step, optimizer in train(network, masks):
        now = list(network.parameters())
        same = all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
        # after each copy of a round but its last
        assert same == (step in (2, 4))
        fresh = all(not held["step"] for held in optimizer.state.values())
        assert fresh == (step % 2 == 0)
        if step == 6:
            break


def test_copies_with_different_masks_have_no_average() -> None:
    weights = [{"w": torch.tensor([1.0, 0.0, 3.0])}, {"w": torch.tensor([2.0, 0.0, 5.0])}]
    mask = {"w": torch.tensor([True, False, True])}
    assert average(weights, mask)["w"].tolist() == [1.5, 0.0, 4.0]
    weights[1]["w"][1] = 0.5
    with pytest.raises(ValueError, match="do not share a mask"):
        average(weights, mask)


def test_a_greedy_soup_is_no_worse_than_its_best_copy() -> None:
    network = model()

    def probe(number: int) -> Tensor:
        return loss(network, 900 + number)

    masks = soup(Setting(network, 9, loss=probe), 0.5, 0.0, 1, 3, taken="greedy")
    assert isinstance(masks, Soup)
    # one copy is ruined, so it must stay out
    ruined = {name: 5 * torch.randn_like(w) for name, w in masks._copies[0].items()}
    for step, _ in train(network, masks, last=9):
        if step == 8:
            for name, weight in masks._copies[1].items():
                weight.copy_(ruined[name])
                if name in masks.masks:
                    weight.mul_(masks.masks[name])
    number = 2
    found = sum(probe(4 * number + k).item() for k in range(4)) / 4
    losses = []
    for tasted in masks._copies:
        network.load_state_dict(tasted, strict=False)
        losses.append(sum(probe(4 * number + k).item() for k in range(4)) / 4)
    assert found <= min(losses) + 1e-6
    assert losses[1] > found + 0.1


def test_a_soup_is_about_as_good_as_its_copies() -> None:
    network = model()
    masks = soup(Setting(network, 120), 0.3, 0.25, 2, 3)
    assert isinstance(masks, Soup)
    for _ in train(network, masks, last=120):
        pass

    def right() -> float:
        x, y = map(torch.cat, zip(*map(batch, range(7000, 7060)), strict=True))
        with torch.no_grad():
            return float((network(x)[0].argmax(-1) == y).float().mean())

    found, single = right(), []
    for tasted in masks._copies:
        network.load_state_dict(tasted, strict=False)
        single.append(right())
    assert found > 0.8
    assert found >= sum(single) / 3 - 0.005


def test_rates_of_copies() -> None:
    masks = soup(Setting(model(), 100), 0.5, 0.4, 1, 3, rates="spread")

    def planned(step: int, steps: int) -> float:
        return step / steps

    assert masks.rate(40, 100, planned) == 1.0
    assert [masks.rate(step, 100, planned) for step in (60, 80, 100)] == [0.5, 1.0, 2.0]
    assert masks.rate(50, 100, planned) == 0.25
    same = soup(Setting(model(), 100), 0.5, 0.4, 1, 3)
    assert [same.rate(step, 100, planned) for step in (50, 60, 70, 100)] == [0.5, 1.0, 0.5, 1.0]
