"""Attention over the keys at a few given distances, at a cost that grows with those few."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.attention.distance_attention_cpu:distance_attention")
def distance_attention(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor, rectify: bool, distances: tuple[int, ...]
) -> Tensor:
    """sum_n w_in v_{i-n} over the ``distances`` n up to i, (B, H, T, d).

    w is the softmax over n of s_in = q_i k_{i-n} / sqrt(d) + added_n, or relu(s_in) with
    ``rectify``. ``q`` is (B, H, T, d) and ``k``, ``v`` (B, H, S, d), the last T keys being at the
    queries' own positions; ``added`` is (H, n). The distances rise and begin with 0.
    """
    length, past = q.shape[2], k.shape[2] - q.shape[2]
    k, v = (pad(part, (0, 0, max(distances[-1] - past, 0), 0)) for part in (k, v))
    origin = k.shape[2] - length
    scores = [
        (q * k[:, :, origin - far : origin - far + length]).sum(-1) for far in distances
    ]  # each (B, H, T)
    far = torch.tensor(distances, device=q.device)
    score = torch.stack(scores, -1) * q.shape[-1] ** -0.5 + added.to(q.dtype)[:, None]
    place = torch.arange(past, past + length, device=q.device)[:, None]
    score = score.masked_fill(place < far, -math.inf)
    weights = (torch.relu(score) if rectify else score.softmax(-1)).unbind(-1)
    out = torch.zeros_like(q)
    for weight, distance in zip(weights, distances, strict=True):
        read = v[:, :, origin - distance : origin - distance + length]
        out = torch.addcmul(out, weight[..., None], read)
    return out
