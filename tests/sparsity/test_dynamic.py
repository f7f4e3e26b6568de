"""SET, RigL and Hebbian rewiring: what goes, what comes, and that the number stays."""

import pytest
import torch
from trained import STEPS, loss, masked, model, train

from archsearch.errors import ArchitectureError
from archsearch.sparsity.dynamic import cosine
from archsearch.sparsity.hebbian import modular
from archsearch.spec.architecture import Layer

METHODS = ("set", "rigl", "hebbian")


def rewired(name: str, **options: object) -> Layer:
    return Layer.of(name, **{"density": 0.3, "updates": 4, "drop": 0.3, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_every_matrix_keeps_its_number_and_moves_away_from_its_first_mask(name):
    network = model()
    masks = masked(network, rewired(name))
    first = masks.state()
    counts = {key: int(mask.sum()) for key, mask in first.items()}
    alike = []
    for step, _ in train(network, masks):
        now = masks.state()
        assert {key: int(mask.sum()) for key, mask in now.items()} == counts
        both = sum(int((now[key] & first[key]).sum()) for key in first)
        if step in masks.moments:
            alike.append(both / sum(counts.values()))
    assert len(alike) == 4
    # a weight may come back to where one was at first
    assert max(alike) < 0.95


@pytest.mark.parametrize("name", METHODS)
def test_without_moves_it_is_static_training_to_the_last_bit(name):
    one, other = model(), model()
    still = masked(one, rewired(name, drop=0.0))
    static = masked(other, Layer.of("random", density=0.3))
    assert all(torch.equal(m, static.masks[key]) for key, m in still.masks.items())
    for _ in zip(train(one, still), train(other, static), strict=True):
        pass
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_share_of_rigl_falls_along_a_cosine():
    found = [cosine(progress, 0.3) for progress in (0, 0.25, 0.5, 1, 2)]
    assert found == pytest.approx([0.3, 0.3 * (2 + 2**0.5) / 4, 0.15, 0, 0])


def test_rigl_drops_the_smallest_and_grows_where_the_slope_is_steepest():
    network = model()
    masks = masked(network, rewired("rigl", updates=1, end=1.0))
    (moment,) = masks.moments
    for _ in train(network, masks, last=moment - 1):
        pass
    before = masks.state()
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    optimizer.zero_grad()
    loss(network, moment).backward()
    slopes = {key: weight.grad.abs().clone() for key, weight in masks.weights.items()}
    masks.before_step(moment)
    optimizer.step()
    stepped = {key: weight.detach().clone() for key, weight in masks.weights.items()}
    masks.after_step(moment, optimizer)
    moved = 0
    for key, mask in masks.masks.items():
        gone, come = before[key] & ~mask, mask & ~before[key]
        moved += int(come.sum())
        assert int(gone.sum()) == int(come.sum())
        if not gone.any():
            continue
        assert stepped[key][gone].abs().max() <= stepped[key][before[key] & mask].abs().max()
        empty = ~before[key] & ~mask
        if empty.any():
            assert slopes[key][come].min() >= slopes[key][empty].max()
        assert not masks.weights[key][come].any()
    assert moved > 0


def test_set_drops_from_both_signs_and_draws_new_weights():
    network = model()
    masks = masked(network, rewired("set", updates=1, end=1.0))
    (moment,) = masks.moments
    spread = dict(masks.spread)
    steps = train(network, masks)
    for step, _ in steps:
        if step == moment - 1:
            before = masks.state()
        if step == moment:
            break
    drawn = []
    for key, mask in masks.masks.items():
        come = mask & ~before[key]
        drawn += (masks.weights[key][come] / spread[key]).tolist()
    assert len(drawn) > 40
    assert all(value != 0 for value in drawn)
    assert 0.7 < float(torch.tensor(drawn).std()) < 1.4


def test_modules_join_only_groups_that_hear_each_other():
    allowed = modular((8, 12), 4, 0.5, torch.Generator().manual_seed(0))
    blocks = allowed.view(4, 2, 4, 3)
    joined = blocks[:, 0, :, 0]
    assert torch.equal(allowed, joined.repeat_interleave(2, 0).repeat_interleave(3, 1))
    assert joined.diagonal().all()
    assert joined.sum(1).tolist() == [2] * 4
    assert modular((5, 7), 1, 0.5, torch.Generator()).all()


def test_hebbian_stays_within_its_modules():
    network = model()
    masks = masked(network, rewired("hebbian", groups=2, reach=0.5, density=0.2))
    for _ in train(network, masks):
        for key, mask in masks.masks.items():
            assert not (mask & ~masks.allowed[key]).any()
    full = rewired("hebbian", groups=4, reach=0.25, density=0.9)
    with pytest.raises(ArchitectureError, match="fewer groups, a larger reach"):
        masked(model(), full)


def test_hebbian_grows_between_what_is_active_together():
    network = model()
    masks = masked(network, rewired("hebbian", updates=1, end=1.0))
    (moment,) = masks.moments
    assert 1 <= moment < STEPS
    for _ in train(network, masks, last=moment - 1):
        pass
    before = masks.state()
    optimizer = torch.optim.AdamW(network.parameters(), 0.0)
    loss(network, moment).backward()
    masks.before_step(moment)
    worth = {key: masks.worth(key, moment) for key in masks.weights}
    optimizer.step()
    masks.after_step(moment, optimizer)
    for key, mask in masks.masks.items():
        come, empty = mask & ~before[key], ~before[key] & ~mask
        if come.any() and empty.any():
            assert worth[key][come].min() >= worth[key][empty].max()
