"""Networks that grow: units come by chance, a budget holds their number, and they stay."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from trained import STEPS, masked, model, train

from archsearch.sparsity.growing import Growing, grow
from archsearch.sparsity.masks import Setting
from archsearch.spec.architecture import Layer


class Perceptron(nn.Module):
    """Two stages of 128 units."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Linear(64, 128), nn.Linear(128, 128)])
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = torch.relu(stage(x))
        return self.head(x)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """1400 digits to train on, then 397 others."""
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return torch.tensor(x / 16, dtype=torch.float32)[order], torch.tensor(y)[order]


def examples(seed: int) -> tuple[Tensor, Tensor]:
    rows = torch.randint(1400, (64,), generator=torch.Generator().manual_seed(seed))
    x, y = digits()
    return x[rows], y[rows]


def fitted(method: str, seed: int = 0, steps: int = 800, **options: object) -> tuple[float, float]:
    """Accuracy on other examples, and the mean density over the training."""
    torch.manual_seed(seed)
    network = Perceptron()
    setting = Setting(network, steps, seed)
    masks = grow(setting, **options) if method == "grow" else None  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    densities = []
    for step in range(1, steps + 1):
        x, y = examples(1000 * seed + step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        if masks is not None:
            masks.before_step(step)
        optimizer.step()
        if masks is not None:
            masks.after_step(step, optimizer)
            densities.append(masks.density().prunable)
    x, y = digits()
    with torch.no_grad():
        right = float((network(x[1400:]).argmax(1) == y[1400:]).float().mean())
    return right, sum(densities) / max(len(densities), 1)


def test_a_grown_network_is_nearly_as_good_at_a_fraction_of_the_training() -> None:
    dense, _ = fitted("none")
    grown, trained = fitted("grow", density=0.25, start=0.06)
    assert dense > 0.96
    assert grown > dense - 0.04
    assert trained < 0.25


def growing(network: nn.Module, steps: int = 100, **options: object) -> Growing:
    found = grow(Setting(network, steps, 1), **options)  # type: ignore[arg-type]
    assert isinstance(found, Growing)
    return found


def pulled(masks: Growing, steps: int) -> list[float]:
    """The expected size while the loss says nothing."""
    optimizer = torch.optim.SGD(masks.weights.values(), 0.0)
    found = []
    for step in range(1, steps + 1):
        for weight in masks.weights.values():
            weight.grad = torch.zeros_like(weight)
        masks.before_step(step)
        optimizer.step()
        masks.after_step(step, optimizer)
        found.append(masks.expected())
    return found


@pytest.mark.parametrize(("start", "density"), [(0.05, 0.3), (0.6, 0.3)])
def test_the_budget_alone_moves_the_size_to_where_it_should_be(
    start: float, density: float
) -> None:
    masks = growing(Perceptron(), density=density, start=start, end=1.0)
    before = masks.expected()
    assert before == pytest.approx(start, abs=0.03)
    sizes = pulled(masks, 99)
    assert sizes[-1] == pytest.approx(density, abs=0.05)
    assert (sizes[9] > before) == (density > start)


def test_logits_go_down_the_slope_of_the_loss() -> None:
    """One unit that lowers the loss, one that raises it: what a finite difference says of both."""
    network = Perceptron().double()
    masks = growing(network, density=0.5, start=0.5)
    name = "stages.0.weight"
    unit = torch.nonzero(masks.pattern.alive(masks.masks[name]))[0].item()
    x, y = examples(3)
    x = x.double()
    nn.functional.cross_entropy(network(x), y).backward()
    shares, dense = masks.shares(name), masks.state()[f"dense.{name}"]
    masks.before_step(1)
    found = masks._falls[name][unit]
    with torch.no_grad():
        losses = []
        for share in (shares[unit] - 1e-2, shares[unit] + 1e-2):
            masks.weights[name].copy_(dense * masks.masks[name] * shares[:, None])
            masks.weights[name][unit] = dense[unit] * share
            restore_others(masks, name)
            losses.append(nn.functional.cross_entropy(network(x), y))
    assert float(found) == pytest.approx(float(losses[1] - losses[0]) / 2e-2, rel=1e-3, abs=1e-9)


def restore_others(masks: Growing, name: str) -> None:
    """The other matrices as the network computed with them."""
    for other, weight in masks.weights.items():
        if other != name:
            dense = masks.state()[f"dense.{other}"]
            weight.copy_(dense * masks.masks[other] * masks.shares(other)[:, None])


def test_a_unit_that_is_not_there_keeps_its_weights_and_grows_no_older() -> None:
    network = model()
    masks = masked(network, Layer.of("grow", density=0.3, end=1.0))
    assert isinstance(masks, Growing)
    before, there = masks.state(), {n: m.clone() for n, m in masks.masks.items()}
    for step, _ in train(network, masks, last=4):
        now = masks.state()
        for name, mask in there.items():
            assert torch.equal(now[f"dense.{name}"][~mask], before[f"dense.{name}"][~mask])
            older = now[f"ages.{name}"] - before[f"ages.{name}"]
            assert torch.equal(older, masks.pattern.alive(mask).double())
        assert any(not torch.equal(mask, masks.masks[name]) for name, mask in there.items())
        before, there = now, {n: m.clone() for n, m in masks.masks.items()}
        assert step < 5


@pytest.mark.parametrize("pattern", ["row", "column", "block", "unstructured"])
def test_it_is_grown_at_the_end_and_exactly_so_large(pattern: str) -> None:
    network = model()
    masks = masked(network, Layer.of("grow", density=0.4, end=0.75, pattern=pattern))
    assert isinstance(masks, Growing)
    settled: dict[str, Tensor] = {}
    for step, optimizer in train(network, masks):
        assert masks.grown == (step >= 9)
        if step == 9:
            settled = {n: m.clone() for n, m in masks.masks.items()}
            for weight in masks.weights.values():
                assert not optimizer.state[weight]["exp_avg"][weight == 0].any()
    for name, mask in settled.items():
        assert torch.equal(mask, masks.masks[name])
        assert not network.get_parameter(name)[~mask].any()
    size = sum(mask.numel() for mask in settled.values())
    left = sum(int(mask.sum()) for mask in settled.values())
    # to the nearest unit of each matrix
    units = sum(m.numel() / masks.pattern.units(m.shape) for m in settled.values())
    assert abs(left - 0.4 * size) <= 1 + (0 if pattern == "unstructured" else units / 2)
    assert STEPS == 12


def test_old_units_are_there_or_not_when_it_is_grown() -> None:
    masks = growing(Perceptron(), density=0.3, start=0.1, end=1.0)
    pulled(masks, 99)
    shares = torch.cat([masks.shares(name) for name in masks.weights])
    assert float(((shares > 0.1) & (shares < 0.9)).float().mean()) < 0.3
