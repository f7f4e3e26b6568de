"""Smaller networks of the same kind: fewer blocks, less width (Ashok et al. 2018, 1709.06030)."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from archsearch.spec.architecture import NONE, Architecture

FACTORS = tuple(tenth / 10 for tenth in range(1, 11))


def smaller(architecture: Architecture, rng: random.Random) -> Architecture:
    """A network of some of the blocks, at least one, at one of ten shares of the width; dense.

    The width stays a multiple of two, four or eight where it was one, as far as it is at least four
    times that, so that heads go on dividing it. Which child it is depends on ``rng`` alone; it may
    be the architecture itself.
    """
    whole = architecture.canonical()
    places = [
        (number, place)
        for number, stage in enumerate(whole.stages)
        for place in range(len(stage.blocks))
    ]
    kept = set(rng.sample(places, rng.randint(1, len(places))))
    stages = tuple(
        replace(
            stage,
            blocks=tuple(b for place, b in enumerate(stage.blocks) if (number, place) in kept),
        )
        for number, stage in enumerate(whole.stages)
    )
    unit = math.gcd(whole.width, 8)
    while unit > 1 and 4 * unit > whole.width:
        unit //= 2
    width = max(unit, round(whole.width * rng.choice(FACTORS) / unit) * unit)
    return replace(whole, width=width, stages=stages, sparsity=NONE).canonical()


def reward(compression: float, quality: float) -> float:
    """C (2 - C) times the child's quality over the parent's; C is the share of weights saved.

    It hardly rises above nine tenths saved, so that a child is not small at any price.
    """
    return compression * (2 - compression) * quality
