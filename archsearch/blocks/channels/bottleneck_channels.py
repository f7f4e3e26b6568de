"""Channel mixers that pass on one of finitely many things: codes, or values of nearest keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.blocks.added_loss import with_loss
from archsearch.blocks.padding import real_positions


class Codebook(nn.Module):
    """out(q), q the sum of the ``active`` codes nearest in angle to into(x) among ``codes``.

    Codebook features (Tamkin, Taufeeque & Goodman 2023, arXiv 2310.17230). The gradient of q goes
    to the codes and, straight through, to into(x). In training two more losses are lowered, means
    over all positions and features: what moves the codes to into(x), and ``commitment`` times what
    moves into(x) to the codes (van den Oord et al. 2017, arXiv 1711.00937, equation 3). They come
    to the gradient as if they had been added to the training loss, and are not part of its value.
    """

    compares = True

    def __init__(
        self, width: int, codes: int = 64, active: int = 1, commitment: float = 0.25
    ) -> None:
        super().__init__()
        self.active, self.commitment = active, commitment
        self.into, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.codes = nn.Parameter(torch.randn(codes, width) / active**0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.into(x)
        with torch.no_grad():
            # the length of h is the same for all codes
            alike = h @ functional.normalize(self.codes, dim=-1).mT  # (.., codes)
            nearest = alike.topk(min(self.active, len(self.codes)), -1).indices
        q = functional.embedding(nearest, self.codes).sum(-2)  # (.., width)
        y: Tensor = self.out(q + (h - h.detach()))
        if not self.training:
            return y
        real = real_positions(x)
        if real is not None:
            q, h = q[real], h[real]
        codes_to_h = functional.mse_loss(q, h.detach())
        h_to_codes = functional.mse_loss(h, q.detach())
        return with_loss(y, codes_to_h + self.commitment * h_to_codes)


class KeyValue(nn.Module):
    """The mean over ``heads`` of the value whose key is nearest in angle to that head's view of x.

    A discrete key-value bottleneck (Träuble et al. 2022, arXiv 2207.11240): the views are frozen
    random projections to width / heads features, the ``keys`` of each head frozen random
    directions, and only the values are learned, those that were looked up. No gradient reaches x.
    heads keys width numbers are trained.
    """

    # a value that is not looked up stays as it is
    no_decay = ("values",)
    views: Tensor
    keys: Tensor

    def __init__(self, width: int, heads: int = 4, keys: int = 64) -> None:
        super().__init__()
        size = max(2, width // heads)
        self.register_buffer("views", torch.randn(heads, size, width))
        drawn = torch.randn(heads, keys, size)
        self.register_buffer("keys", functional.normalize(drawn, dim=-1))
        self.values = nn.Parameter(torch.randn(heads, keys, width))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            alike = (self.keys @ self.views).flatten(0, 1)  # (heads keys, width)
            scores = functional.linear(x, alike).unflatten(-1, self.keys.shape[:2])
            nearest = scores.argmax(-1)  # (.., heads)
        heads = torch.arange(self.keys.shape[0], device=x.device)
        return self.values[heads, nearest].mean(-2)
