"""How a training prepares every depth of a network: layers left out, and exits that are trained.

Both are options of the training. They change nothing of the network in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.depth.positions import removable
from archsearch.spec.architecture import Layer
from archsearch.train.declared import ADAMW


@dataclass(frozen=True)
class Supervision:
    """What the answers after all positions but the last count in the loss: ``share`` of it.

    With weights "equal" each counts alike, with "linear" the k-th k times as much as the first.
    """

    weights: str
    share: float

    def total(self, losses: Sequence[Tensor]) -> Tensor:
        """The loss of the last, with the gradient of the weighted mean of all."""
        *early, final = losses
        if not early:
            return final
        ranks = range(1, len(early) + 1) if self.weights == "linear" else [1] * len(early)
        parts = [rank * one for rank, one in zip(ranks, early, strict=True)]
        mean = torch.stack(parts).sum() / sum(ranks)
        whole = (1 - self.share) * final + self.share * mean
        # what is told of a training is how wrong the network itself is
        return final.detach() + (whole - whole.detach())


class LeftOut:
    """A forward hook of a layer: x + b (y - x) / survive, b drawn per sequence, in training.

    b is 1 with probability ``survive``, so that the expectation is y, what the layer gives in use.
    x and y, (batch, .., width), are the stream before and after the layer, whatever its gate.
    """

    def __init__(self, survive: float) -> None:
        self.survive = survive

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
        if not layer.training:
            return y
        x = inputs[0]
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(self.survive)
        return torch.addcmul(x, kept / self.survive, y - x)


def survival(drop: float, layers: int) -> list[float]:
    """How often each layer takes part: 1 - (l / L) drop (Huang et al. 2016, arXiv 1603.09382)."""
    return [1 - drop * layer / layers for layer in range(1, layers + 1)]


def supervision_of(model: nn.Module) -> Supervision | None:
    """How the exits of a model in training are trained; None where they are not."""
    found: Supervision | None = getattr(model, "supervision", None)
    return found if model.training else None


@contextmanager
def as_trained(model: nn.Module, training: Layer) -> Iterator[None]:
    """Inside, a model in training leaves out layers and trains exits as the training says.

    A layer is a block, or each half of one that a reversible stage applies by halves. A block whose
    own gate leaves it out keeps the rate of that gate, and no other.
    """
    options, hooks = ADAMW.settings(training), []
    layers = removable(model.stages) if options["drop"] else []
    for parts, survive in zip(layers, survival(options["drop"], len(layers)), strict=True):
        hooks += [part.register_forward_hook(LeftOut(survive)) for part in parts]
    if options["exits"] != "none":
        model.supervision = Supervision(options["exits"], options["exit_share"])
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        if hasattr(model, "supervision"):
            del model.supervision
