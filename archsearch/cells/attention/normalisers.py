"""From scores to weights: softmax, and rectifiers that need no sum over the keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

RECTIFIED = ("relu_length", "reluformer", "rela")


def rectified(scores: Tensor, allowed: Tensor, kind: str, gain: Tensor | None) -> Tensor:
    """Weights (.., T, S) of the keys that are ``allowed``, from their scores.

    ``relu_length``: relu(s) / n with n keys in sight (Wortsman et al. 2023, arXiv 2309.08586).
    ``reluformer``: relu(s) g / sqrt(n / 2), which keeps the variance of values at g^2 (Shen et al.
    2023, arXiv 2302.06461, section 4). ``rela``: relu(s) (Zhang et al. 2021, arXiv 2104.07012).
    """
    weights = torch.relu(scores).masked_fill(~allowed, 0.0)
    return divided(weights, allowed.sum(-1, keepdim=True), kind, gain)


def divided(summed: Tensor, count: Tensor, kind: str, gain: Tensor | None) -> Tensor:
    """What rectified weights, or the values they weigh, become for the number of keys in sight."""
    if kind == "rela":
        return summed
    count = count.to(summed.dtype)
    if kind == "relu_length":
        return summed / count
    assert gain is not None
    return summed * gain / torch.sqrt(count / 2)


def answers(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, rectify: bool) -> Tensor:
    """softmax(s) v, or relu(s) v, of s = q'k / sqrt(d) under a mask that is boolean or added."""
    if not rectify:
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.mT * q.shape[-1] ** -0.5
    hidden = mask.dtype == torch.bool
    scores = scores.masked_fill(~mask, -math.inf) if hidden else scores + mask
    return torch.relu(scores) @ v


class GatedNorm(nn.Module):
    """s o / rms(o) sigmoid(w o) over the width, s and w per feature: what follows ReLA.

    Zhang et al. 2021, arXiv 2104.07012, equation 6. Zero where nothing was attended to.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        bound = 1 / math.sqrt(width)
        self.gate = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, o: Tensor) -> Tensor:
        wide = o.float() if o.dtype in (torch.bfloat16, torch.float16) else o
        normed = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-6)
        return self.scale * normed.to(o.dtype) * torch.sigmoid(self.gate * o)
