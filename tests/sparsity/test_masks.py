"""Masked parameters and gradual magnitude pruning: schedule, exact counts, nothing comes back."""

import pytest
import torch
from torch import nn

from archsearch.errors import ArchitectureError, SpaceError
from archsearch.sparsity.magnitude import cubic, prunable
from archsearch.sparsity.masks import kept, largest
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import Layer

STEPS = 30


class Net(nn.Module):
    """Two stages between dense ends; one matrix is a rate that may not be pruned."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.stages = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.stages[0].rate = nn.Parameter(torch.ones(2, 4))
        self.head = nn.Linear(8, 2)

    def no_decay(self):
        return frozenset({"stages.0.rate"})

    def forward(self, x):
        h = self.embed(x)
        for stage in self.stages:
            h = torch.tanh(stage(h) * stage.rate.sum() if hasattr(stage, "rate") else stage(h))
        return self.head(h)


def net():
    torch.manual_seed(0)
    return Net()


def train(model, masks, steps=STEPS, start=1, optimizer=None):
    """Yields after each update; the batches depend on the step alone."""
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    for step in range(start, steps + 1):
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        (model(x) - x[:, :2]).square().mean().backward()
        if masks is not None:
            masks.before_step(step)
        optimizer.step()
        if masks is not None:
            masks.after_step(step, optimizer)
        yield step, optimizer


def magnitude(density, **options):
    return Layer.of("magnitude", density=density, **options)


def test_the_cubic_schedule():
    found = [cubic(progress, 0.0, 0.9) for progress in (-1, 0, 0.25, 0.5, 0.75, 1, 2)]
    assert found == pytest.approx([0, 0, 0.5203125, 0.7875, 0.8859375, 0.9, 0.9])
    progress = torch.linspace(0, 1, 2001)
    mean = sum(cubic(float(p), 0.0, 0.9) for p in progress) / 2001
    assert mean == pytest.approx(0.75 * 0.9, abs=1e-3)


@pytest.mark.parametrize("final", [0.5, 0.8, 0.9])
def test_the_mean_density_of_the_default_window(final):
    model = net()
    masks = sparsify(model, magnitude(1 - final, updates=1000), 2000)
    mean = sum(masks.target(step) for step in range(1, 2001)) / 2000
    assert mean == pytest.approx(1 - 0.625 * final, abs=2e-3)


def test_what_is_pruned():
    model = net()
    assert prunable(model) == {"stages.0.weight", "stages.1.weight"}
    assert prunable(model, "all") == prunable(model) | {"embed.weight", "head.weight"}
    assert prunable(nn.Linear(2, 2), "all") == {"weight"}


def test_the_largest_by_rank_with_ties_by_position():
    weight = torch.tensor([[1.0, -2.0, 0.0], [2.0, 0.5, 1.0]])
    alive = torch.ones(2, 3, dtype=torch.bool)
    assert largest(weight, alive, 3).tolist() == [[True, True, False], [True, False, False]]
    alive[0, 1] = False
    assert largest(weight, alive, 5).tolist() == [[True, False, True], [True, True, True]]
    assert kept(0.1, 64) == 6
    assert kept(0.0, 64) == 0


@pytest.mark.parametrize("density", [0.1, 0.5])
@pytest.mark.parametrize("updates", [3, 20])
def test_every_promise_holds_after_every_update(density, updates):
    model = net()
    masks = sparsify(model, magnitude(density, updates=updates), STEPS)
    dense = [model.embed.weight, model.head.weight, model.stages[0].rate]
    before = masks.state()
    for step, optimizer in train(model, masks):
        now = masks.state()
        assert now.keys() == prunable(model)
        for name, mask in now.items():
            weight = model.get_parameter(name)
            assert not weight[~mask].any()
            assert not (mask & ~before[name]).any(), "a weight came back"
            assert int(mask.sum()) == kept(masks.target(step), weight.numel())
            for moment in ("exp_avg", "exp_avg_sq"):
                assert not optimizer.state[weight][moment][~mask].any()
        before = now
    for name, mask in before.items():
        assert int(mask.sum()) == round(density * mask.numel())
        assert int(model.get_parameter(name).count_nonzero()) == int(mask.sum())
    assert all((weight != 0).all() for weight in dense)
    total = sum(parameter.numel() for parameter in model.parameters())
    left = sum(int(mask.sum()) for mask in before.values())
    assert masks.density() == pytest.approx((left / 128, 1 - (128 - left) / total))


def test_nothing_happens_before_the_window_and_after_it():
    model = net()
    masks = sparsify(model, magnitude(0.25, begin=0.5, end=0.8), STEPS)
    seen = {}
    for step, _ in train(model, masks):
        seen[step] = masks.density().prunable
    assert seen[15] == 1.0
    assert seen[24] == 0.25 == seen[30]
    assert sorted(seen.values(), reverse=True) == [seen[step] for step in sorted(seen)]


def test_a_window_of_no_length_prunes_at_once():
    model = net()
    masks = sparsify(model, magnitude(0.5, begin=1.0, end=1.0), STEPS)
    seen = [masks.density().prunable for _ in train(model, masks)]
    assert seen == [1.0] * 29 + [0.5]


@pytest.mark.parametrize("layer", [magnitude(1.0), Layer("none")])
def test_full_density_is_dense_training_to_the_last_bit(layer):
    one, other = net(), net()
    masks = sparsify(one, layer, STEPS)
    for _ in train(one, masks):
        pass
    for _ in train(other, None):
        pass
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)
    assert masks.density() == (1.0, 1.0)


def test_stored_masks_continue_as_if_never_interrupted():
    whole, halves = net(), net()
    for _ in train(whole, sparsify(whole, magnitude(0.2), STEPS)):
        pass
    first = sparsify(halves, magnitude(0.2), STEPS)
    *_, (_, optimizer) = train(halves, first, steps=16)
    second = sparsify(halves, magnitude(0.2), STEPS)
    second.restore(first.state())
    assert second.density() == first.density()
    for _ in train(halves, second, start=17, optimizer=optimizer):
        pass
    for one, other in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.equal(one, other)


def test_masks_of_another_model_are_refused():
    model = net()
    masks = sparsify(model, magnitude(0.5), STEPS)
    stored = sparsify(model, magnitude(0.5, which="all"), STEPS).state()
    with pytest.raises(ValueError, match="another model"):
        masks.restore(stored)


def test_wrong_options_are_named():
    with pytest.raises(ArchitectureError, match="begin must not be after end"):
        sparsify(net(), magnitude(0.5, begin=0.9, end=0.1), STEPS)
    with pytest.raises(SpaceError, match=r"density: expected a number from 0.005 to 1"):
        sparsify(net(), magnitude(1.5), STEPS)
    with pytest.raises(SpaceError, match="did you mean 'magnitude'"):
        sparsify(net(), Layer("magnitud"), STEPS)
