"""Memories in lanes under gates, of projections as they come."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.lanes.lane_memory import lane_memory

STEEPNESS = 5.0  # of the tanh of a transition's strength

# q, k, v, source, transition, mark and direct path
Position: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@accelerated(cpu="archsearch.kernels.memories.lanes.lane_cpu:gated_lanes")
def gated_lanes(mixed: Tensor, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """The memories of :mod:`archsearch.kernels.memories.lanes.lane_memory` as :func:`gated` says.

    ``mixed`` is (B, T, 3 H K), ``gates`` (B, T, H P), ``memory`` (B, H, J, K, K). Returns
    (B, T, H, K) and the memories.
    """
    return lane_memory(*gated(mixed, gates, *memory.shape[1:3]), memory)


def gated(mixed: Tensor, gates: Tensor, heads: int, lanes: int) -> Position:
    """What a memory is given at each position, (..., H, .) each.

    ``mixed`` (..., 3 H K) has queries, keys and values of all heads; queries are scaled by
    K^(-1/2). ``gates`` (..., H P) has for each head source, mark and strength of each lane and
    the direct path; the transition is diag(tanh(5 strength)). Where there are J^2 numbers more,
    their softmax over the lanes that content goes to divides it among them.
    """
    q, k, v = mixed.unflatten(-1, (3, heads, -1)).unbind(-3)
    gates = gates.unflatten(-1, (heads, -1))
    parts = [lanes, lanes, lanes, 1, gates.shape[-1] - 3 * lanes - 1]
    source, mark, strength, direct, shares = gates.split(parts, -1)
    strength = torch.tanh(STEEPNESS * strength)
    if parts[-1]:
        shares = shares.unflatten(-1, (lanes, lanes)).softmax(-2)
        transition = shares * strength[..., None, :]
    else:
        transition = torch.diag_embed(strength)
    return q * q.shape[-1] ** -0.5, k, v, source, transition, mark, direct[..., 0]
