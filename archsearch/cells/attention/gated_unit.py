"""The gated attention unit: one head whose values are gated, in place of heads and a channel mixer.

The parts that cells share: projections, weights of keys from scores, and the window in blocks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from archsearch.errors import ArchitectureError
from archsearch.kernels.projections.projected import projected

BLOCK = 32  # queries that share one stretch of keys
SPARSE_FROM = 48  # below about as many positions one masked product beats many small ones
FARTHEST = 64  # distances with a learned bias of their own
MIDDLE, SPREAD = math.sqrt(0.5), math.sqrt(0.25 / math.pi)


def laplace(scores: Tensor) -> Tensor:
    """(1 + erf((s - m) / (d sqrt 2))) / 2, m = sqrt(1 / 2), d = sqrt(1 / 4 pi): near relu(s)^2.

    Ma et al. 2022, arXiv 2209.10655, equation 17.
    """
    return (1 + torch.erf((scores - MIDDLE) / (SPREAD * math.sqrt(2)))) / 2


def weigh(products: Tensor, bias: Tensor | float, allowed: Tensor, kind: str, size: int) -> Tensor:
    """Weights of the ``allowed`` keys from q'k (.., T, S) of vectors of length ``size``.

    relu2: relu(q'k / n + b)^2 with n keys in sight, the bias behind the division; laplace
    likewise; softmax: of q'k / sqrt(size) + b. A row without keys is zero.
    """
    if kind == "softmax":
        scores = products * size**-0.5 + bias
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(-1)
        return scores.masked_fill(~allowed, 0.0)
    scores = products / allowed.sum(-1, keepdim=True).clamp_min(1) + bias
    weights = laplace(scores) if kind == "laplace" else torch.relu(scores).square()
    return weights.masked_fill(~allowed, 0.0)


class GatedUnit(nn.Module):
    """u, v, z = silu(W x); q, k = z scaled and shifted; W_o (u A v) with A of :func:`weigh`.

    Hua et al. 2022, arXiv 2202.10447, section 3. ``window`` None sees all earlier positions. The
    bias is one number per distance, those beyond 63 sharing one, drawn small.
    """

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

    def attend(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None) -> Tensor:
        """A v (B, T, V) for q (B, T, Z), k (B, S, Z), v (B, S, V); the last T keys are at q's.

        ``valid`` (B, S) says which keys there are.
        """
        length, keys = q.shape[1], k.shape[1]
        there = torch.ones_like(k[..., 0], dtype=torch.bool) if valid is None else valid
        if self.window is not None and length > SPARSE_FROM + 2 * self.window:
            return self._in_blocks(q, k, v, there)
        place = torch.arange(keys, device=q.device)
        return self._meet(q, k, v, place[keys - length :, None] - place, there)

    def _in_blocks(self, q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
        assert self.window is not None
        length, size = q.shape[1], max(BLOCK, self.window)
        missing = -length % size
        # key 0 of the first stretch stands ``window`` positions before query 0
        absent = self.window - (k.shape[1] - length)
        begin = max(-absent, 0)
        k, v = (pad(part[:, begin:], (0, 0, max(absent, 0), missing)) for part in (k, v))
        valid = pad(valid[:, begin:], (max(absent, 0), missing), value=False)
        queries = pad(q, (0, 0, 0, missing)).unflatten(1, (-1, size))  # (B, n, size, Z)
        keys, values = (part.unfold(1, size + self.window, size).mT for part in (k, v))
        valid = valid.unfold(1, size + self.window, size)
        place = torch.arange(size + self.window, device=q.device)
        distance = place[self.window :, None] - place
        return self._meet(queries, keys, values, distance, valid).flatten(1, 2)[:, :length]

    def _meet(self, q: Tensor, k: Tensor, v: Tensor, distance: Tensor, valid: Tensor) -> Tensor:
        near = distance >= 0 if self.window is None else distance.ge(0) & (distance < self.window)
        bias = 0.0 if self.bias is None else self.bias[distance.clamp(0, len(self.bias) - 1)]
        allowed = near & valid[..., None, :]  # (.., T, S)
        return weigh(q @ k.mT, bias, allowed, self.normaliser, self.size) @ v

    def answer(self, u: Tensor, seen: Tensor) -> Tensor:
        return projected(self.output, u * seen)
