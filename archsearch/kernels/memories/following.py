"""What followed the earlier places that were like this one, as a mean."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated

STRETCH = 128  # queries


@accelerated(cpu="archsearch.kernels.memories.following_cpu:following")
def following(values: Tensor, grams: Tensor, length: int) -> Tensor:
    """The mean of values_{j+1} over the j < i - 1 with grams_j = grams_i, zero without any.

    ``values`` is (B, H, S, d). ``grams`` (B, H, S) are whole numbers, and one below zero is like
    none. Returns (B, H, T, d) for the last T = ``length`` positions i.
    """
    past, found = grams.shape[2] - length, []
    for begin in range(past, past + length, STRETCH):
        end = min(begin + STRETCH, past + length)
        here, there = grams[..., begin:end, None], grams[..., None, : end - 1]
        place = torch.arange(begin, end, device=grams.device)[:, None]
        earlier = torch.arange(end - 1, device=grams.device) < place - 1
        alike = ((here == there) & (there >= 0) & earlier).to(values.dtype)  # (B, H, T, S)
        weights = alike / alike.sum(-1, keepdim=True).clamp_min(1)
        followers = values[:, :, 1:end]
        # nothing times a missing number is missing: for those that look at it, but not for others
        lost = (0 * followers.detach()).sum(-1)
        known = followers.masked_fill((lost != 0)[..., None], 0.0)
        lost = torch.where(alike > 0, lost[..., None, :], 0.0).sum(-1, keepdim=True)
        found.append(weights @ known + lost)
    return torch.cat(found, 2)
