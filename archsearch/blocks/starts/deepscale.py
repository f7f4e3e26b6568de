"""Weights for which the variance of the stream stays 1 through hundreds of blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from archsearch.blocks.balanced import Balanced
from archsearch.blocks.starts.maps import Mixer, mixer, projections
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.connections import Connections
from archsearch.spec.signature import Signature

LARGEST = 0.5


class DeepScale:
    """Moments carried through attention and channel mixers, layer by layer.

    Gates that are ``balanced`` get the share ``strength`` / N, N the residual layers on the way,
    at most a half; the others stay as they are, and then the stream may grow. With r the
    correlation of two positions, which begins at ``correlation``: queries and keys of attention
    have variance 1 / d, values and outputs 1 / (d sqrt(r)); both maps of an mlp v / d with v such
    that outputs have variance 1, sqrt(1/2) / d for relu and four hidden units per width; a gated
    mixer starts as with he, and maps of other cells have variance 1 / inputs (Kedia et al. 2024,
    arXiv 2403.09635, section 3, without dropout).
    """

    def __init__(self, correlation: float = 0.221, strength: float = 2.0) -> None:
        self.correlation, self.strength = correlation, strength

    def __call__(self, model: nn.Module, signature: Signature) -> None:
        layers = sum(1 if block.channel is None else 2 for block in _passes(model))
        share = min(self.strength / max(layers, 1), LARGEST)
        r, seen = self.correlation, set()
        for block in _passes(model):
            first = id(block) not in seen
            seen.add(id(block))
            if first:
                _set_share(block, share)
            r += share * (self._cell(block, r, first) - r)
            if block.channel is not None:
                if first:
                    _start_mixer(block)
                r += share * (_rectified(r) - r)

    def _cell(self, block: Block, r: float, first: bool) -> float:
        """Draws the maps of a cell that is met for the first time; the correlation behind it."""
        cell = block.cell.layer
        rows = getattr(cell, "key_heads", 0) * getattr(cell, "head_size", 0)
        for linear in projections(block) if first else ():
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            if rows:
                with torch.no_grad():
                    # the values are the last rows of the projection
                    (linear.weight[-rows:] if linear is cell.project else linear.weight).mul_(
                        r**-0.25
                    )
        return 1.0 if rows else r


def _passes(model: nn.Module) -> Iterator[Block]:
    """Every application of a block, in order: a looped one comes as often as it is applied."""
    for stage in model.stages:
        for _ in range(getattr(stage, "loops", 1)):
            for part in stage.modules():
                if isinstance(part, Connections):
                    yield from part.blocks


def _set_share(block: Block, share: float) -> None:
    for layer in (block.cell, block.channel):
        if layer is not None and isinstance(layer.gate, Balanced):
            layer.gate.share.fill_(share)


def _start_mixer(block: Block) -> None:
    found = mixer(block)
    if found is None:
        return
    into = 1.0 if found.gated else _even(found)
    out = found.gain**2 if found.gated else into
    scale = found.out.in_features if found.gated else found.into.in_features
    nn.init.normal_(found.into.weight, std=(into / found.into.in_features) ** 0.5)
    nn.init.normal_(found.out.weight, std=(out / scale) ** 0.5)
    nn.init.zeros_(found.into.bias)
    nn.init.zeros_(found.out.bias)


def _even(found: Mixer) -> float:
    """v with expand v E[f(z)^2] = 1, z of variance v: the same for both maps."""
    low, high = 1e-4, 1e4
    for _ in range(60):
        middle = math.sqrt(low * high)
        if found.expand * middle * found.passed(middle) < 1:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def _rectified(r: float) -> float:
    """The correlation behind two maps with relu between, of inputs that correlate by r."""
    r = min(r, 1.0)
    return r + (math.sqrt(1 - r * r) - r * math.acos(r)) / math.pi
