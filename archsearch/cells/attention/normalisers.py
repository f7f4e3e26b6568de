"""From scores to weights: softmax, and rectifiers that need no sum over the keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

RECTIFIED = ("relu_length", "reluformer", "rela")


def rectified(scores: Tensor, allowed: Tensor, kind: str, gain: Tensor | None) -> Tensor:
    """Weights (.., T, S) of the keys that are ``allowed``, from their scores.

    ``relu_length``: relu(s) / n with n keys in sight (Wortsman et al. 2023, arXiv 2309.08586).
    ``reluformer``: relu(s) g / sqrt(n / 2), which keeps the variance of values at g^2 (Shen et al.
    2023, arXiv 2302.06461, section 4). ``rela``: relu(s) (Zhang et al. 2021, arXiv 2104.07012).
    """
    weights = torch.relu(scores).masked_fill(~allowed, 0.0)
    if kind == "rela":
        return weights
    count = allowed.sum(-1, keepdim=True).to(scores.dtype)
    if kind == "relu_length":
        return weights / count
    assert gain is not None
    return weights * gain / torch.sqrt(count / 2)


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
