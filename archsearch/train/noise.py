"""Gaussian noise on the gradient that dies away as training goes on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

DECAY = 0.55


def deviation(noise: float, step: int) -> float:
    """Of the noise at step 1, 2, ...: the root of noise / step^0.55.

    Neelakantan et al. 2015, arXiv 1511.06807, whose t counts from zero.
    """
    return float((noise / step**DECAY) ** 0.5)


@torch.no_grad()
def add_noise(parameters: Iterable[nn.Parameter], noise: float, *, seed: int, step: int) -> None:
    """Add to every gradient there is what this step of this training draws.

    It depends on the seed and the step alone and leaves every other generator as it was, so a
    training that goes on from a checkpoint draws what it would have drawn.
    """
    (word,) = np.random.SeedSequence(seed, spawn_key=(step,)).generate_state(1, np.uint64)
    # one generator for all devices, so that each draws the same
    generator = torch.Generator().manual_seed(int(word))
    scale = deviation(noise, step)
    for parameter in parameters:
        if parameter.grad is not None:
            grad = parameter.grad
            drawn = torch.randn(grad.shape, generator=generator, dtype=grad.dtype)
            grad.add_(drawn.to(grad.device), alpha=scale)
