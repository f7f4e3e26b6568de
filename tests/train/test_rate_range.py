"""The largest stable rate: how it is sought, that it tells stable from not, and the paper's law."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from test_fit import built, trained
from torch import nn
from toy_task import SignTask, Summing

from archsearch.train.declared import ADAMW
from archsearch.train.rate_range import largest, largest_rate

torch.set_num_threads(1)


@pytest.mark.parametrize("truth", [0.9, 0.31, 0.02, 3e-4])
def test_it_is_below_the_truth_by_less_than_a_root_of_two(truth: float) -> None:
    asked: list[float] = []

    def stable(rate: float) -> bool:
        asked.append(rate)
        return rate <= truth

    found = largest(stable)
    assert truth / 2**0.5 < found <= truth
    assert len(asked) == len(set(asked)) <= 10
    assert asked[0] == 1.0


def test_it_ends_where_nothing_or_everything_is_stable() -> None:
    assert largest(lambda _: True) == 1.0
    assert largest(lambda _: False) == 1e-5


def test_it_keeps_weights_and_generators_and_is_the_same_again() -> None:
    task, model = SignTask(), built(SignTask())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    rates = [largest_rate(model, task, 16, 1.0, seed=3) for _ in range(2)]
    assert rates[0] == rates[1]
    assert all(torch.equal(before[name], v) for name, v in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()


class Steep(Summing):
    """The same map of one value with larger inputs, so that its rate must be as much smaller."""

    def __init__(self, by: float) -> None:
        super().__init__(outputs=1)
        self.by = by
        with torch.no_grad():
            self.weight.div_(by)

    def forward(self, x, lengths=None):
        return super().forward(self.by * x, lengths)


def test_steeper_models_need_smaller_rates() -> None:
    task = SignTask(targets="value")
    rates = [largest_rate(Steep(by), task, 32, 1.0, seed=0) for by in (10.0, 100.0, 1000.0)]
    assert [rates[i] / rates[i + 1] for i in range(2)] == pytest.approx([10, 10], rel=0.45)


def test_four_times_the_rate_found_is_worse_than_no_training() -> None:
    task, model = SignTask(targets="value"), Steep(300.0)
    rate = largest_rate(model, task, 32, 1.0, seed=0)
    assert 1e-5 < rate < 0.25
    curve, _ = trained(task, model, steps=16, lr=4 * rate, warmup=0.0, batch=32, evaluations=16)
    losses = [metrics["train_loss"] for _, metrics in curve]
    assert max(losses[1:]) > losses[0]


def test_a_training_runs_at_its_share_of_it() -> None:
    task = SignTask()
    rate = largest_rate(built(task), task, 16, 1.0, seed=0)
    counted, given = built(task), built(task)
    trained(task, counted, lr=0.25, lr_unit="range")
    trained(task, given, lr=0.25 * rate)
    for mine, theirs in zip(counted.parameters(), given.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    # what is at its default is not written, so that digests stay
    assert "lr_unit" not in dict(ADAMW.complete(ADAMW.layer({})).options)


@pytest.mark.slow
def test_for_plain_networks_it_falls_with_depth_times_width() -> None:
    """The law of arXiv 2212.07295: the input layer learns at a tenth of the rate, as there."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images[:600], dtype=torch.float32), torch.tensor(labels[:600])
    x = (x - x.mean()) / x.std()

    def reaches(depth: int, width: int, seed: int, rate: float) -> bool:
        torch.manual_seed(seed)
        sizes = [64, *[width] * depth, 10]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
            nn.init.zeros_(layers[-2].bias)
        net = nn.Sequential(*layers[:-1])
        first, others = list(net[0].parameters()), list(net[1:].parameters())
        groups = [{"params": first, "lr": rate / 10}, {"params": others, "lr": rate}]
        optimizer = torch.optim.SGD(groups)
        for _ in range(60):
            rows = torch.randint(len(x), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            return bool((net(x).argmax(1) == y).float().mean() > 0.3)

    rates = {}
    with torch.random.fork_rng(devices=()):
        for depth in (3, 6, 10):
            for width in (64, 128, 256):
                rates[depth, width] = largest(
                    lambda rate, d=depth, w=width: (
                        sum(reaches(d, w, s, rate) for s in range(3)) > 1
                    ),
                    highest=8.0,
                    lowest=1e-3,
                )
    sizes = np.log([depth * width for depth, width in rates])
    found = np.log(list(rates.values()))
    slope, _ = np.polyfit(sizes, found, 1)
    assert -1.5 < slope < -0.5
    assert np.corrcoef(sizes, found)[0, 1] ** 2 > 0.5
    # of two with the same product the deeper one needs the smaller rate
    assert rates[6, 64] < rates[3, 128]
    assert rates[6, 128] < rates[3, 256]
