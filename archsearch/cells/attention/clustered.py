"""Attention within clusters, at a cost that falls with their number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

WORTH = 2  # times fewer pairs than all, from which on sorting pays


def clustered_attention(
    q: Tensor, k: Tensor, v: Tensor, of_query: Tensor, of_key: Tensor, count: int, scale: float
) -> Tensor | None:
    """Each query over its own position and the earlier keys of its cluster, (B, H, T, d).

    ``q``, ``k`` and ``v`` are (B, H, T, d); ``of_query`` and ``of_key`` (B, H, T) number their
    clusters below ``count``. Cluster after cluster is filled up to the most that a head has of it;
    None where that would not compare fewer pairs by a factor of :data:`WORTH`.
    """
    length = q.shape[2]
    asking, asked = (_Sorted(clusters, count) for clusters in (of_query, of_key))
    pairs = sum(a * b for a, b in zip(asking.slots, asked.slots, strict=True))
    if pairs * WORTH > length * length:
        return None
    found = []
    for cluster in range(count):
        here, _ = asking.of(cluster)
        queries, own_keys, own_values = (_take(part, here) for part in (q, k, v))
        own = scale * (queries * own_keys).sum(-1, keepdim=True)
        there, full = asked.of(cluster)
        earlier = full[..., None, :] & (there[..., None, :] < here[..., None])
        scores = scale * queries @ _take(k, there).mT
        weights = torch.cat([scores.masked_fill(~earlier, -math.inf), own], -1).softmax(-1)
        found.append(weights[..., :-1] @ _take(v, there) + weights[..., -1:] * own_values)
    return _take(torch.cat(found, 2), asking.place())


class _Sorted:
    """Positions by their cluster (B, H, T), in time's order within each."""

    def __init__(self, clusters: Tensor, count: int) -> None:
        self.order = clusters.argsort(dim=2, stable=True)
        self.clusters = clusters.gather(2, self.order)
        sizes = clusters.new_zeros(*clusters.shape[:2], count)
        self.sizes = sizes.scatter_add_(2, clusters, torch.ones_like(clusters))  # (B, H, C)
        self.first = self.sizes.cumsum(2) - self.sizes
        self.slots: list[int] = self.sizes.amax((0, 1)).tolist()

    def of(self, cluster: int) -> tuple[Tensor, Tensor]:
        """The positions of a cluster, filled up with others, and which are its own: (B, H, n)."""
        slot = torch.arange(self.slots[cluster], device=self.order.device)
        at = self.first[..., cluster, None] + slot
        positions = self.order.gather(2, at.clamp_max(self.order.shape[2] - 1))
        return positions, slot < self.sizes[..., cluster, None]

    def place(self) -> Tensor:
        """Where each position stands once the filled up clusters are put in a row, (B, H, T)."""
        slots = torch.tensor(self.slots, device=self.order.device)
        shift = (slots.cumsum(0) - slots) - self.first
        rank = torch.arange(self.order.shape[2], device=self.order.device)
        at = rank + shift.gather(2, self.clusters)
        return torch.empty_like(at).scatter_(2, self.order, at)


def _take(part: Tensor, at: Tensor) -> Tensor:
    """Of ``part`` (B, H, T, d) what stands at the positions (B, H, n)."""
    return part.gather(2, at[..., None].expand(-1, -1, -1, part.shape[3]))
