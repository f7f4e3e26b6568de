"""The gated attention unit: one head whose values are gated, in place of heads and a channel mixer.

The parts that cells share: projections, and attention over all keys or those of a window.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from archsearch.errors import ArchitectureError
from archsearch.kernels.attention.squared_attention import squared_attention
from archsearch.kernels.attention.weighed_attention import (
    distances,
    marked,
    met,
    weighed_attention,
)
from archsearch.kernels.projections.projected import projected

BLOCK = 32  # queries that share one stretch of keys
SPARSE_FROM = 48  # below about as many positions one masked product beats many small ones
BLOCKED = 128  # positions of a window; a longer one meets stretches of queries
FARTHEST = 64  # distances with a learned bias of their own


class GatedUnit(nn.Module):
    """u, v, z = silu(W x); q, k = z scaled and shifted; W_o (u A v).

    A is of :func:`archsearch.kernels.attention.weighed_attention.weigh`.

    Hua et al. 2022, arXiv 2202.10447, section 3. ``window`` None sees all earlier positions. The
    bias is one number per distance, those beyond 63 sharing one, drawn small.
    """

    no_decay: ClassVar[frozenset[str]] = frozenset({"scale", "shift"})

    def __init__(
        self,
        width: int,
        expand: float,
        query_size: int,
        normaliser: str,
        window: int | None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.size, self.values = query_size, int(width * expand)
        if self.values < 1:
            raise ArchitectureError(f"expand {expand:g} leaves no values of width {width}")
        self.normaliser, self.window = normaliser, window
        self.project = nn.Linear(width, 2 * self.values + query_size)
        self.scale = nn.Parameter(torch.empty(2, query_size).normal_(1.0, 0.02))
        self.shift = nn.Parameter(torch.zeros(2, query_size))
        far = FARTHEST if window is None else min(window, FARTHEST)
        drawn = nn.init.trunc_normal_(torch.empty(far), std=0.02, a=-0.04, b=0.04)
        self.bias = nn.Parameter(drawn) if bias else None
        self.output = nn.Linear(self.values, width)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.output.bias)
        for weight in (*self.project.weight.split(self.parts), self.output.weight):
            nn.init.xavier_uniform_(weight)

    @property
    def parts(self) -> list[int]:
        return [self.values, self.values, self.size]

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The gate u, queries, keys and values of inputs (..., W)."""
        u, v, z = silu(projected(self.project, x)).split(self.parts, -1)
        return u, z * self.scale[0] + self.shift[0], z * self.scale[1] + self.shift[1], v

    @property
    def squares_all(self) -> bool:
        """Whether weights are squared rectifiers of all keys so far."""
        return self.normaliser == "relu2" and self.window is None

    def from_the_start(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (B, T, W) of a unit that :attr:`squares_all`, the keys and the values."""
        given = projected(self.project, x)
        seen, k, v = squared_attention(given, self.scale, self.shift, self.bias)
        return projected(self.output, seen), k, v

    def attend(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None) -> Tensor:
        """A v (B, T, V) for q (B, T, Z), k (B, S, Z), v (B, S, V); the last T keys are at q's.

        ``valid`` (B, S) says which keys there are.
        """
        there = torch.ones_like(k[..., 0], dtype=torch.bool) if valid is None else valid
        window = BLOCKED + 1 if self.window is None else self.window
        if window <= BLOCKED and q.shape[1] > SPARSE_FROM + 2 * window:
            return self._in_blocks(q, k, v, there, window)
        return weighed_attention(q, k, v, self.bias, there, self.normaliser, self.window)

    def _in_blocks(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor, window: int) -> Tensor:
        length, size = q.shape[1], max(BLOCK, window)
        missing = -length % size
        # key 0 of the first stretch stands ``window`` positions before query 0
        absent = window - (k.shape[1] - length)
        begin = max(-absent, 0)
        k, v = (pad(part[:, begin:], (0, 0, max(absent, 0), missing)) for part in (k, v))
        valid = pad(valid[:, begin:], (max(absent, 0), missing), value=False)
        queries = pad(q, (0, 0, 0, missing)).unflatten(1, (-1, size))  # (B, n, size, Z)
        keys, values = (part.unfold(1, size + window, size).mT for part in marked(k, v))
        valid = valid.unfold(1, size + window, size)
        place = torch.arange(size + window, device=q.device)
        at = distances(place[window:], place, window)
        found = met(queries, keys, values, self.bias, valid, self.normaliser, at)
        return found.flatten(1, 2)[:, :length]

    def answer(self, u: Tensor, seen: Tensor) -> Tensor:
        return projected(self.output, u * seen)
