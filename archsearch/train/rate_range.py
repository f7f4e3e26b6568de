"""The largest learning rate that the first steps of an architecture's training survive.

How large that is differs between architectures by orders of magnitude: for plain networks it falls
with about depth times width (Iyer et al. 2022, arXiv 2212.07295). A rate counted in units of it
means the same to all of them, so a search need not find it again for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from archsearch.tasks.task import Task
from archsearch.train.adamw import AdamW
from archsearch.train.draws import undisturbed
from archsearch.train.groups import learning_groups, set_rate
from archsearch.train.loss import model_loss
from archsearch.train.tensors import Tensors, device_of, tensors

HIGHEST, LOWEST, FACTOR, HALVINGS = 1.0, 1e-5, 4.0, 2
STEPS, QUARTER = 16, 4


def largest(
    stable: Callable[[float], bool],
    highest: float = HIGHEST,
    lowest: float = LOWEST,
    factor: float = FACTOR,
    halvings: int = HALVINGS,
) -> float:
    """The largest stable rate, or ``lowest`` where none is.

    From ``highest`` down by ``factor`` until one is stable; between it and the one above, the
    interval is halved ``halvings`` times on a logarithmic scale. So the answer is below the truth
    by less than the 2^halvings-th root of ``factor``, where stability is monotone.
    """
    rate = highest
    while rate > lowest and not stable(rate):
        rate /= factor
    if rate == highest or rate <= lowest:
        return max(rate, lowest)
    low, high = rate, rate * factor
    for _ in range(halvings):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if stable(middle) else (low, middle)
    return low


def largest_rate(model: nn.Module, task: Task, size: int, clip: float, *, seed: int) -> float:
    """The largest stable rate of AdamW from the weights that ``model`` has, which it keeps.

    A rate is stable when 16 steps at it, on batches of ``size`` and with the gradient clipped to
    ``clip``, make nothing worse: in none of their quarters are the losses before each step together
    higher than those of the first weights on the same batches; what learns at a share of the rate
    does so here. Masks and decay are left out. It is a pure function of its arguments; every
    generator is left as it was.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(0,))))
    batches = [tensors(task.batch(rng, size, 0.0), device_of(model)) for _ in range(STEPS)]
    model.train()
    with _untouched(model, seed), torch.no_grad():
        before = [model_loss(model, batch, task.signature).item() for batch in batches]

    def stable(rate: float) -> bool:
        with _untouched(model, seed):
            return _holds(model, list(zip(batches, before, strict=True)), task, rate, clip)

    return largest(stable)


def _holds(
    model: nn.Module, known: list[tuple[Tensors, float]], task: Task, rate: float, clip: float
) -> bool:
    """Whether training at ``rate`` on these batches beats the losses known of them, by quarters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = AdamW(learning_groups(model, 0.0), fused=True)
    set_rate(optimizer, rate)
    gained = 0.0
    for step, (batch, before) in enumerate(known, start=1):
        optimizer.zero_grad(set_to_none=True)
        total = model_loss(model, batch, task.signature)
        gained += before - total.item()
        # what is no number gains nothing
        if step % QUARTER == 0 and not gained >= 0:
            return False
        gained = 0.0 if step % QUARTER == 0 else gained
        total.backward()
        nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
        optimizer.step()
    return True


@contextmanager
def _untouched(model: nn.Module, seed: int) -> Iterator[None]:
    """Whatever happens inside, parameters, buffers and torch's generator are as they were."""
    own = [*model.parameters(), *model.buffers()]
    kept = [tensor.detach().clone() for tensor in own]
    with undisturbed(device_of(model), seed):
        yield
    model.zero_grad(set_to_none=True)
    with torch.no_grad():
        for tensor, was in zip(own, kept, strict=True):
            tensor.copy_(was)
