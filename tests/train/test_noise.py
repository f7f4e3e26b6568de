"""Noise on the gradient: how large, on what it depends, and that it frees a net of zeros."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from test_fit import built, trained
from torch import nn
from toy_task import SignTask

from archsearch.train.declared import ADAMW
from archsearch.train.noise import add_noise, deviation

torch.set_num_threads(1)

# of a variance of eta at t = 0, 10, 1000 and 10,000
TABLE = {
    0.01: (0.1, 0.0517, 0.015, 0.0079),
    0.3: (0.5477, 0.2833, 0.0819, 0.0435),
    1.0: (1.0, 0.5172, 0.1496, 0.0794),
}


def gradients(*sizes: int) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return parameters


@pytest.mark.parametrize("eta", TABLE)
def test_the_deviation_falls_as_in_the_paper(eta: float) -> None:
    found = [deviation(eta, t + 1) for t in (0, 10, 1000, 10_000)]
    assert found == pytest.approx(TABLE[eta], abs=6e-5)


def test_what_is_added_is_gaussian_of_that_deviation() -> None:
    (parameter,) = gradients(200_000)
    parameter.grad.fill_(3.0)
    add_noise([parameter], 0.3, seed=1, step=11)
    assert parameter.grad.mean().item() == pytest.approx(3.0, abs=3e-3)
    assert parameter.grad.std().item() == pytest.approx(0.2833, rel=6e-3)
    within = ((parameter.grad - 3).abs() < 0.2833).float().mean().item()
    assert within == pytest.approx(0.6827, abs=5e-3)


def test_it_depends_on_the_seed_and_the_step_alone() -> None:
    def drawn(seed: int, step: int) -> torch.Tensor:
        # of a variance that makes every step's deviation one
        parameters = gradients(4, 3)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        add_noise(parameters, step**0.55, seed=seed, step=step)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        return torch.cat([parameter.grad for parameter in parameters])

    once = drawn(1, 1)
    assert torch.equal(drawn(1, 1), once)
    for other in (drawn(2, 1), drawn(1, 2)):
        assert (other - once).abs().min() > 1e-4
    assert len(once.unique()) == 7


def test_a_parameter_without_a_gradient_keeps_none() -> None:
    idle = nn.Parameter(torch.zeros(2))
    add_noise([idle], 1.0, seed=0, step=1)
    assert idle.grad is None


def test_none_is_the_training_there_was() -> None:
    """A stored architecture names no noise, and trains as before to the last bit."""
    assert "noise" not in dict(ADAMW.complete(ADAMW.layer({})).options)
    plain, off, on = (built(SignTask()) for _ in range(3))
    trained(SignTask(), plain, steps=6)
    trained(SignTask(), off, steps=6, noise=0.0)
    trained(SignTask(), on, steps=6, noise=0.001)
    weights = [torch.cat([p.flatten() for p in m.parameters()]) for m in (plain, off, on)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_it_frees_a_network_of_zeros() -> None:
    """Twelve layers that start at zero learn nothing without noise."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)

    def accuracy(noise: float) -> float:
        layers: list[nn.Module] = []
        for inputs, outputs in zip([64, *[50] * 11], [*[50] * 11, 10], strict=True):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        net = nn.Sequential(*layers[:-1])
        for parameter in net.parameters():
            nn.init.zeros_(parameter)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        rng = np.random.default_rng(0)
        for step in range(1, 601):
            rows = torch.from_numpy(rng.integers(0, len(x), 64))
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            if noise:
                add_noise(net.parameters(), noise, seed=0, step=step)
            optimizer.step()
        with torch.no_grad():
            return (net(x).argmax(1) == y).float().mean().item()

    assert accuracy(0.0) < 0.12
    assert accuracy(0.3) > 0.25
