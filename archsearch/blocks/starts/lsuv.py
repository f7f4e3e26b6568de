"""Layer-sequential unit variance: weights scaled by what they compute of a drawn batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archsearch.blocks.starts.inits import Orthogonal
from archsearch.blocks.starts.maps import blocks, mixer, projections
from archsearch.spec.signature import Signature

ROWS, STEPS, TRIES = 16, 64, 10


class LSUV:
    """Orthogonal maps, then each scaled until its outputs have deviation 1, front to back.

    One batch of random inputs goes through the network once; a map is scaled where it is first
    applied, up to ten times, until its deviation is within ``tolerance`` of 1 (Mishkin and Matas
    2016, arXiv 1511.06422, algorithm 1). Maps that a cell does not apply as a module stay
    orthogonal.
    """

    def __init__(self, tolerance: float = 0.1) -> None:
        self.tolerance = tolerance

    def __call__(self, model: nn.Module, signature: Signature) -> None:
        Orthogonal()(model, signature)
        hooks = [linear.register_forward_hook(self._scaled()) for linear in _maps(model)]
        try:
            with torch.no_grad():
                model(sample(signature))
        finally:
            for hook in hooks:
                hook.remove()

    def _scaled(self) -> Any:
        done = False

        def hook(linear: nn.Linear, given: tuple[Tensor, ...], y: Tensor) -> Tensor:
            nonlocal done
            for _ in range(0 if done else TRIES):
                deviation = float(y.std())
                # inputs that are all alike say nothing of the weights
                if abs(deviation - 1) < self.tolerance or deviation < 1e-6:
                    break
                linear.weight.div_(deviation)
                y = nn.functional.linear(given[0], linear.weight, linear.bias)
            done = True
            return y

        return hook


def sample(signature: Signature) -> Tensor:
    """A batch of random inputs, drawn from the global generator that ``build`` has seeded."""
    steps = min(signature.length, STEPS)
    if signature.inputs == "tokens":
        return torch.randint(signature.channels, (ROWS, steps))
    return torch.randn(ROWS, steps, signature.channels)


def _maps(model: nn.Module) -> list[nn.Linear]:
    found = []
    for block in blocks(model):
        found += projections(block)
        of_channel = mixer(block)
        if of_channel is not None:
            found += [of_channel.into, of_channel.out]
    return found
