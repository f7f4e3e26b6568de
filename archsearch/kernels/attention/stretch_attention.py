"""Attention in stretches of queries, each with only the keys that any of its queries looks at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated

# the keys (n,) of queries ``begin`` to ``end``, and which of the last m of them each query does not
# see, (end - begin, m); those in front are seen by all
Look: TypeAlias = Callable[[int, int], tuple[Tensor, Tensor]]


@accelerated(cpu="archsearch.kernels.attention.stretch_attention_cpu:stretch_attention")
def stretch_attention(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, rectify: bool, stretch: int, look: Look
) -> Tensor:
    """sum_j w_ij v_j over the keys j that ``look`` gives to i, (N, T, d), T by ``stretch`` queries.

    w is the softmax of s_ij = q_i'k_j / sqrt(d) + added_{i-j}, or relu(s_ij) with ``rectify``.
    ``q``, ``k`` and ``v`` are (N, T, d) and all look alike; ``added`` (N, T) goes by the distance.
    Every query sees its own key at least.
    """
    found = []
    for begin in range(0, q.shape[1], stretch):
        end = min(begin + stretch, q.shape[1])
        keys, hidden = look(begin, end)
        scores = q[:, begin:end] @ k[:, keys].mT * q.shape[2] ** -0.5
        if added is not None:
            scores = scores + added[:, distances(begin, end, keys)]
        scores = scores.masked_fill(pad(hidden, (len(keys) - hidden.shape[1], 0)), -math.inf)
        weights = torch.relu(scores) if rectify else scores.softmax(-1)
        found.append(weights @ v[:, keys])
    return torch.cat(found, 1)


def distances(begin: int, end: int, keys: Tensor) -> Tensor:
    """How far before queries ``begin`` to ``end`` the keys stand, zero behind them: (T, n)."""
    return (torch.arange(begin, end, device=keys.device)[:, None] - keys).clamp_min(0)


def all_before(device: torch.device) -> Look:
    """Each query looks at all keys so far."""

    def look(begin: int, end: int) -> tuple[Tensor, Tensor]:
        place = torch.arange(end, device=device)
        return place, place[begin:, None] < place[begin:]

    return look
