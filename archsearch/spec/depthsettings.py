"""How the answer of a study is adapted in depth afterwards: ``depth:`` of a space file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

POLICIES = (
    *("static", "prefix", "gap", "entropy", "cosine", "patience", "router"),
    *("loop_gap", "loop_cosine", "halting"),
)
MOVES = ("both", "skip", "repeat")
GUARANTEES = ("ltt", "crc", "none")
RISKS = ("differs", "loses")


@dataclass(frozen=True)
class DepthSettings:
    """``policy`` is one of them or "best", which is chosen on data of its own.

    Chains apply or leave out by ``moves``, up to ``chains`` make the router's library, found by
    ``simulations`` for each sequence where there are too many to try all. ``risk`` is kept below
    ``delta``, in all but ``epsilon`` of calibrations, as ``guarantee`` says.
    """

    policy: str = "best"
    moves: Literal["both", "skip", "repeat"] = "both"
    chains: int = 16
    simulations: int = 50
    guarantee: str = "ltt"
    risk: str = "differs"
    delta: float = 0.05
    epsilon: float = 0.1
