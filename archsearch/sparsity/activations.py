"""Zeros among activations instead of weights: chosen without training, or trained for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from archsearch.sparsity.masks import Masks, Setting
from archsearch.sparsity.thinned import (
    Heaviest,
    Ranked,
    Rectified,
    RectifiedInput,
    Thinned,
    Thresholded,
)

CALIBRATION = 4000  # the first of its batches
BATCHES = 2
POSITIONS = 2048  # of each map and batch
INCREMENT = 0.05


class Thinning(Masks):
    """Masks over no weight; after the last update the model's thinned maps are calibrated.

    ``shares`` of their inputs are read: the same for all, or in total.
    """

    def __init__(self, setting: Setting, density: float, allocation: str = "uniform") -> None:
        super().__init__(setting.model, ())
        self.setting, self.share, self.allocation = setting, density, allocation
        self.maps = [part for part in setting.model.modules() if isinstance(part, Thinned)]

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        if step != self.setting.steps or not self.maps:
            return
        seen: dict[int, list[Tensor]] = {}
        with _inputs(seen):
            for number in range(BATCHES):
                self.setting.probe(CALIBRATION + number)
        pairs = [(part, torch.cat(seen[_mark(part)])) for part in self.maps if _mark(part) in seen]
        sparsity = 1 - self.share
        shares = [sparsity] * len(pairs)
        if self.allocation == "greedy":
            shares = greedy(pairs, sparsity)
        for (part, x), gone in zip(pairs, shares, strict=True):
            calibrate(part, x, gone)


def calibrate(part: Thinned, x: Tensor, gone: float) -> None:
    """Let a map pass over a share of its inputs, as seen in x, (positions, inputs)."""
    match part:
        case Heaviest():
            part.norms.copy_(part.weight.norm(dim=0))
            part.kept.fill_(max(1, round((1 - gone) * part.in_features)))
        case Thresholded():
            part.threshold.copy_(threshold(x, gone))
    if isinstance(part, Ranked):
        u, s, v = torch.linalg.svd(part.weight, full_matrices=False)
        rank = len(part.down)
        part.down.copy_(v[:rank])
        part.up.copy_(u[:, :rank] * s[:rank])


def threshold(x: Tensor, gone: float) -> Tensor:
    """The size that this share of all numbers is not above; zero for none.

    It lies between two of them, so that no rounding decides.
    """
    count = round(gone * x.numel())
    if count == 0:
        return x.new_zeros(())
    sizes = x.abs().flatten()
    below, above = (sizes.kthvalue(min(k, x.numel())).values for k in (count, count + 1))
    return (below + above) / 2


@torch.no_grad()
def greedy(pairs: list[tuple[Thinned, Tensor]], sparsity: float) -> list[float]:
    """The share of inputs that each map passes over, so that in total it is ``sparsity``.

    Shares rise step by step, each time that of the map whose output suffers least; a step is
    smaller where a map has more weights (TEAL, algorithm 1, over all maps of the model).
    """
    sizes = [part.weight.numel() for part, _ in pairs]
    total = sum(sizes)
    steps = [INCREMENT * total / len(sizes) / size for size in sizes]
    shares = [0.0] * len(pairs)
    errors = [_error(pair, min(step, 1.0)) for pair, step in zip(pairs, steps, strict=True)]

    def reached() -> float:
        return sum(size * share for size, share in zip(sizes, shares, strict=True)) / total

    while sparsity - reached() > 1e-9 and min(shares) < 1:
        best = min(range(len(pairs)), key=lambda k: (shares[k] >= 1, errors[k]))
        missing = (sparsity - reached()) * total / sizes[best]
        shares[best] = min(shares[best] + min(steps[best], missing), 1.0)
        errors[best] = _error(pairs[best], min(shares[best] + steps[best], 1.0))
    return shares


def _error(pair: tuple[Thinned, Tensor], gone: float) -> float:
    """The square of the change of the output over the square of the output."""
    part, x = pair
    lost = x.masked_fill(x.abs() > threshold(x, gone), 0)
    whole = (x @ part.weight.mT).square().sum()
    return float((lost @ part.weight.mT).square().sum() / whole.clamp_min(1e-30))


class Rectifying(Masks):
    """Masks over no weight; after update ``when`` activations become rectifiers, for good."""

    def __init__(self, setting: Setting, when: int) -> None:
        super().__init__(setting.model, ())
        self.when = when
        self.parts = [
            part for part in setting.model.modules() if isinstance(part, Rectified | RectifiedInput)
        ]
        if when == 0:
            self._turn()

    def after_step(self, step: int, optimizer: Optimizer) -> None:
        if step == self.when:
            self._turn()

    def _turn(self) -> None:
        for part in self.parts:
            part.on.fill_(1)


# the other options were for the blocks, when they were built
def teal(setting: Setting, density: float = 0.5, allocation: str = "greedy", **_: object) -> Masks:
    """Inputs below a calibrated size are not read; see :class:`Thresholded`."""
    return Thinning(setting, density, allocation)


def wina(setting: Setting, density: float = 0.5, **_: object) -> Masks:
    """The heaviest inputs of every position are read; see :class:`Heaviest`."""
    return Thinning(setting, density)


def r_sparse(setting: Setting, density: float = 0.5, **_: object) -> Masks:
    """Small inputs go through a map of low rank; see :class:`Ranked`.

    The split between ``rank`` and ``density`` is given, and not searched map by map.
    """
    return Thinning(setting, density)


def relufied(setting: Setting, at: float = 0.5, **_: object) -> Masks:
    """Rectifiers in place of other activations from the fraction ``at`` of the training on."""
    return Rectifying(setting, min(round(at * setting.steps), setting.steps))


def _mark(part: nn.Module) -> int:
    """What the copies of a map have in common that share its weights, one copy for each loop."""
    return id(next(part.buffers(recurse=False)))


@contextmanager
def _inputs(seen: dict[int, list[Tensor]]) -> Iterator[None]:
    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, Thinned):
            x = inputs[0].detach().flatten(0, -2)
            seen.setdefault(_mark(module), []).append(x[:: max(1, len(x) // POSITIONS)].clone())

    handle = register_module_forward_pre_hook(note)
    try:
        yield
    finally:
        handle.remove()
