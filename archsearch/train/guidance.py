"""A network learns to represent sequences as a frozen one does, beside its task.

Guidance helps architectures that are hard to train (Subramaniam et al. 2024, arXiv 2410.20035).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.spec.architecture import Layer
from archsearch.spec.signature import Signature
from archsearch.train.declared import ADAMW
from archsearch.train.judge import evaluating
from archsearch.train.tensors import Tensors

TINY = 1e-6


class Guided:
    """An objective, and ``strength`` times what the layers lack of likeness to those of the guide.

    Layer i of G of the guide goes with layer round(i (S - 1) / (G - 1)) of S, and lacks one minus
    their :func:`likeness`. Layers are blocks in the order in which they are run.
    """

    def __init__(
        self,
        objective: Callable[[nn.Module, Tensors, Signature], Tensor],
        guide: nn.Module,
        strength: float,
    ) -> None:
        self.objective, self.strength = objective, strength
        self.guide = guide.requires_grad_(requires_grad=False)

    def __call__(self, model: nn.Module, batch: Tensors, signature: Signature) -> Tensor:
        size, time = batch.inputs.shape[:2]
        with layers_of(self.guide, size, time) as theirs, evaluating(self.guide), torch.no_grad():
            self.guide(batch.inputs, batch.lengths)
        with layers_of(model, size, time) as ours:
            total = self.objective(model, batch, signature)
        real = torch.arange(time, device=batch.lengths.device) < batch.lengths[:, None]
        for place, features in enumerate(theirs):
            own = ours[paired(place, len(theirs), len(ours))]
            total = total + self.strength * (1 - likeness(_flat(own, real), _flat(features, real)))
        return total


def guidance_options(training: Layer) -> dict[str, Any]:
    """All options of a training, those that are not written at their defaults."""
    options: dict[str, Any] = ADAMW.settings(training)
    return options


def paired(place: int, guides: int, students: int) -> int:
    """The layer of the student that goes with one of the guide's; the last with an only one."""
    if guides == 1:
        return students - 1
    return min(round(place * (students - 1) / (guides - 1)), students - 1)


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """Linear centred kernel alignment of features of the same examples, (examples, any).

    One for features that are equal up to a rotation and a scale (Kornblith et al. 2019, arXiv
    1905.00414, equation 1); zero, with a gradient that is finite, for constant ones.
    """
    first, second = _alike(one), _alike(other)
    shared = (first * second).sum()
    return shared / (first.square().sum() * second.square().sum() + TINY**2).sqrt()


def _alike(features: Tensor) -> Tensor:
    """How alike the examples are, centred: (examples, examples)."""
    centred = features - features.mean(0)
    # a likeness has no scale, but its rounding does
    centred = centred / (centred.square().sum() + TINY**2).sqrt()
    return centred @ centred.T


def _flat(features: Tensor, real: Tensor) -> Tensor:
    """(batch, time, width) without what is padding, (batch, time times width)."""
    return (features * real[..., None]).flatten(1)


@contextmanager
def layers_of(model: nn.Module, batch: int, time: int) -> Iterator[Sequence[Tensor]]:
    """What the blocks give in a forward pass inside, (batch, time, width) each.

    Where no block sees the whole batch at once, it is what all of them give together.
    """
    blocks: list[Tensor] = []
    whole: list[Tensor] = []
    found: list[Tensor] = []

    def after_block(module: Any, inputs: Any, output: Any) -> None:  # noqa: ARG001 - torch's order
        if output.shape[:2] == (batch, time):
            blocks.append(output)

    def before_norm(module: Any, inputs: Any) -> None:  # noqa: ARG001 - torch's order
        whole.append(inputs[0])

    hooks = [
        part.register_forward_hook(after_block)
        for part in model.modules()
        if hasattr(part, "mix") and hasattr(part, "refine")
    ]
    hooks.append(model.norm.register_forward_pre_hook(before_norm))
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
        found.extend(blocks or whole[:1])
