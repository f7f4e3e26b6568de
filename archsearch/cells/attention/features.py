"""Feature maps whose products stand in for the exponential of a product."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import elu

# a feature between exp(-30) and exp(30): their sums and products stay within single precision
LARGEST_LOG = 30.0

POINTWISE: dict[str, Callable[[Tensor], Tensor]] = {
    "elu1": lambda x: elu(x) + 1,
    "relu": torch.relu,
    "softmax": lambda x: x.softmax(-1),
}


def positive_features(x: Tensor, directions: Tensor) -> Tensor:
    """log f(x) = w'x - |x|^2 / 2 for every direction w, (..., H, F) of ``x`` (..., H, d).

    The mean of f(q) f(k) over standard normal directions (H, F, d) is exp(q'k) (Choromanski et
    al. 2020, arXiv 2009.14794, lemma 1).
    """
    logs = torch.einsum("...hd,hfd->...hf", x, directions)
    logs = logs - x.square().sum(-1, keepdim=True) / 2
    return logs.clamp(-LARGEST_LOG, LARGEST_LOG)


def orthogonal(heads: int, count: int, size: int) -> Tensor:
    """Directions (heads, count, size), each standard normal, orthogonal in blocks of ``size``."""
    blocks = -(-count // size)
    turned, upper = torch.linalg.qr(torch.randn(heads, blocks, size, size))
    # as drawn, the signs favour some directions
    turned = turned * upper.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    # a row of an orthogonal matrix has no length of its own: give it that of a normal vector
    lengths = torch.randn(heads, blocks, size, size).norm(dim=-1, keepdim=True)
    return (turned * lengths).flatten(1, 2)[:, :count].contiguous()
