"""Whole numbers for vectors: equal vectors always get the same one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from archsearch.cells.attention.features import orthogonal


class HashCodes(nn.Module):
    """Where a vector points: the largest of ``buckets`` random projections, ``rounds`` times over.

    Half of the projections are the other half turned round, as in locality-sensitive hashing of
    angles (Andoni et al. 2015, arXiv 1509.02897); each of ``heads`` hashes by itself. Codes are
    below ``buckets ** rounds`` and know no length, so that a norm before them changes nothing.
    The directions are drawn once and never trained.
    """

    def __init__(self, width: int, heads: int, buckets: int, rounds: int) -> None:
        super().__init__()
        drawn = normalize(orthogonal(heads * rounds, buckets // 2, width), dim=-1)
        self.register_buffer("directions", drawn.unflatten(0, (heads, rounds)))
        self.register_buffer("places", buckets ** torch.arange(rounds), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Codes (..., heads) of vectors (..., W), without gradient."""
        # in double: which of two is the larger must not depend on how a product is blocked
        wide, directions = x.detach().double(), self.directions.double()
        with torch.autocast(x.device.type, enabled=False):
            found = torch.einsum("...w,hrnw->...hrn", wide, directions)
        best = torch.cat([found, -found], -1).argmax(-1)  # (..., heads, rounds)
        return (best * self.places).sum(-1)
