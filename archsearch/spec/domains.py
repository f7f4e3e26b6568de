"""What one open decision may be: a choice, a whole number, a real number."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Choice:
    """One of several branches; a decision is the branch's index, a label is what a person reads."""

    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        return len(self.labels)

    def sample(self, rng: random.Random) -> int:
        return rng.randrange(len(self.labels))

    def contains(self, value: object) -> bool:
        return type(value) is int and 0 <= value < len(self.labels)


@dataclass(frozen=True)
class IntRange:
    """Whole numbers low, low + step, ..., high; drawn uniformly, or uniformly in the logarithm."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def size(self) -> int:
        return (self.high - self.low) // self.step + 1

    def sample(self, rng: random.Random) -> int:
        if not self.log:
            return self.low + self.step * rng.randrange(self.size)
        drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)

    def contains(self, value: object) -> bool:
        return (
            type(value) is int
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )


@dataclass(frozen=True)
class FloatRange:
    """Real numbers between low and high, on a grid when a step is given."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def size(self) -> float:
        if self.low == self.high:
            return 1
        if self.step is None:
            return math.inf
        return math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def sample(self, rng: random.Random) -> float:
        if self.step is not None:
            return min(self.low + self.step * rng.randrange(int(self.size)), self.high)
        if self.log:
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            return min(max(drawn, self.low), self.high)
        return rng.uniform(self.low, self.high)

    def contains(self, value: object) -> bool:
        if not isinstance(value, float) or not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6


Domain: TypeAlias = Choice | IntRange | FloatRange
