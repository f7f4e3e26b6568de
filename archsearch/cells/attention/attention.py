"""Causal attention with a growing or a bounded cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.distance_bias import Bias, looked_up, sloped
from archsearch.cells.attention.few_keys import over_few_keys
from archsearch.cells.attention.head_blocks import HeadBlocks
from archsearch.cells.attention.normalisers import RECTIFIED, GatedNorm, divided, rectified
from archsearch.cells.attention.patterns import PLACED, reach, seen, sight
from archsearch.cells.attention.rotary import rotate, turns
from archsearch.cells.attention.sparse import sampled_attention
from archsearch.cells.cell import Cell, State, split_width
from archsearch.errors import ArchitectureError
from archsearch.kernels.attention.causal_attention import causal_attention
from archsearch.kernels.projections.projected import projected

FARTHEST = 64  # distances with a learned bias of their own


class Attention(Cell):
    """o_i = sum_j softmax_j(q_i' k_j / sqrt(d) + bias) v_j over the keys j that i may see.

    The keys are those of a pattern of :func:`archsearch.cells.attention.patterns.seen`; in place
    of softmax there may be one of :func:`archsearch.cells.attention.normalisers.rectified`.
    ``rope`` rotates queries and keys (arXiv 2104.09864), ``alibi`` lowers a score by a slope per
    head and step of distance (arXiv 2108.12409), ``relative`` adds a learned bias per head and
    distance. ``keys`` "grouped" has two query heads share keys and values, "single" all (Shazeer
    2019, arXiv 1911.02150; Ainslie et al. 2023, arXiv 2305.13245). ``unit`` gives queries and keys
    a root mean square of 1 before they meet (arXiv 2010.04245). With ``keep`` below one, every call
    in training looks at that share of the keys, drawn anew, and at the own position (Hussain et al.
    2023, arXiv 2306.01705: keys drawn uniformly, alike for all rows, heads and queries). With the
    pattern ``perhead`` :class:`HeadBlocks` says how far back each head looks.
    State: keys and values seen so far, each (B, K, S, d), and the position of each row (B,); S is
    bounded where the pattern is, and grows with the sequence otherwise.
    """

    role = "attention"

    def __init__(
        self,
        width: int,
        heads: int = 4,
        pattern: str = "full",
        window: int = 16,
        stride: int = 8,
        positions: str = "rope",
        normaliser: str = "softmax",
        keys: str = "own",
        unit: bool = False,
        keep: float = 1.0,
        block: int = 8,
        select: float = 0.5,
        dense: int = 100,
    ) -> None:
        super().__init__(width)
        self.heads, self.pattern, self.positions = heads, pattern, positions
        self.window, self.stride, self.normaliser, self.unit = window, stride, normaliser, unit
        self.keep = keep
        self.head_size = split_width(width, heads)
        if positions == "rope" and self.head_size % 2:
            raise ArchitectureError(
                f"rope needs heads of even size, not {self.head_size}; take fewer heads"
            )
        self.key_heads = {"own": heads, "grouped": max(heads // 2, 1), "single": 1}[keys]
        if heads % self.key_heads:
            raise ArchitectureError(
                f"{heads} heads cannot share keys in pairs; take an even number"
            )
        sizes = [size * self.head_size for size in (heads, self.key_heads, self.key_heads)]
        self.project = nn.Linear(width, sum(sizes), bias=False)
        self.output = nn.Linear(width, width, bias=False)
        for weight in self.project.weight.split(sizes):
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.output.weight)
        self.register_buffer("slopes", alibi_slopes(heads), persistent=False)  # (H,)
        self.bias = nn.Parameter(torch.zeros(heads, FARTHEST)) if positions == "relative" else None
        self.gain = nn.Parameter(torch.ones(1)) if normaliser == "reluformer" else None
        self.norm = GatedNorm(width) if normaliser == "rela" else None
        per_head = pattern == "perhead"
        self.blocks = HeadBlocks(heads, block, select, dense) if per_head else None

    def _split(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = projected(self.project, x).unflatten(-1, (-1, self.head_size))
        q, k, v = parts.split([self.heads, self.key_heads, self.key_heads], -2)  # (B, T, H, d)
        if self.unit:
            q, k = (
                part * torch.rsqrt(part.square().mean(-1, keepdim=True) + 1e-6) for part in (q, k)
            )
        if self.positions == "rope":
            q, k = rotate(torch.cat([q, k], -2), positions).split([self.heads, self.key_heads], -2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, d)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, start: Tensor) -> Tensor:
        """(B, H, T, d) from keys of which the last T stand where the queries do."""
        length, keys = q.shape[2], k.shape[2]
        k, v = (part.repeat_interleave(self.heads // self.key_heads, 1) for part in (k, v))
        if self.training and self.keep < 1:
            return self._attend_some(q, k, v, start)
        watched = self.blocks is not None and self.blocks.watching
        if not watched:
            found = self._over_few_keys(q, k, v)
            if found is not None:
                return found
        i = torch.arange(keys - length, keys, device=q.device)[:, None]
        j = torch.arange(keys, device=q.device)
        allowed = self._allowed(i, j, start - (keys - length))
        if self.normaliser not in RECTIFIED and not watched:
            bias = self._added(i - j, q.dtype)
            mask = allowed if bias is None else bias.masked_fill(~allowed, -math.inf)
            return scaled_dot_product_attention(q, k, v, attn_mask=mask)
        weights = self._weights(q @ k.mT, i - j, allowed)
        if watched:
            self.blocks.watch(weights, *placed(i, j, start - (keys - length)))
        return weights @ v

    def _over_few_keys(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor | None:
        rectify, bias = self.normaliser in RECTIFIED, self._bias(q.dtype)
        pattern = self.pattern, self.window, self.stride
        found = over_few_keys(q, k, v, *pattern, self.blocks, bias, rectify)
        if found is None or not rectify:
            return found
        i = torch.arange(k.shape[2] - q.shape[2], k.shape[2], device=q.device)
        count = sight(i, *pattern) if self.blocks is None else self.blocks.count(i)
        return divided(found, count[..., None], self.normaliser, self.gain)

    def _attend_some(self, q: Tensor, k: Tensor, v: Tensor, start: Tensor) -> Tensor:
        """As _attend, over drawn keys and each query's own, which stands in the last column."""
        length, keys = q.shape[2], k.shape[2]
        chosen = drawn(keys, self.keep, q.device)
        i = torch.arange(keys - length, keys, device=q.device)[:, None]
        j = torch.cat([chosen.expand(length, -1), i], 1)  # (T, n + 1)
        once = torch.cat([chosen != i, torch.ones_like(i, dtype=torch.bool)], 1)
        allowed = once & self._allowed(i, j, start - (keys - length))
        watched = self.blocks is not None and self.blocks.watching
        if self.normaliser not in RECTIFIED and not watched:
            bias = self._added(i - j, q.dtype)
            bias = torch.zeros((), dtype=q.dtype, device=q.device) if bias is None else bias
            bias = torch.where(allowed, bias, -math.inf)
            return sampled_attention(q, k, v, chosen, bias[(None,) * (4 - bias.ndim)])
        own_k, own_v = (part[:, :, keys - length :] for part in (k, v))
        products = torch.cat([q @ k[:, :, chosen].mT, (q * own_k).sum(-1, keepdim=True)], -1)
        weights = self._weights(products, i - j, allowed)
        if watched:
            self.blocks.watch(weights, *placed(i, j, start - (keys - length)))
        return weights[..., :-1] @ v[:, :, chosen] + weights[..., -1:] * own_v

    def _allowed(self, i: Tensor, j: Tensor, first: Tensor) -> Tensor:
        """(T, S), a head's own (H, T, S) or a row's (B, 1, T, S), with key 0 at ``first`` (B,)."""
        if self.pattern in PLACED:
            i, j = placed(i, j, first)
        allowed = seen(self.pattern, i, j, self.window, self.stride)
        return allowed if self.blocks is None else allowed & self.blocks(i, j)

    def _weights(self, products: Tensor, distance: Tensor, allowed: Tensor) -> Tensor:
        """Of keys at these distances (T, S), from their products with the queries."""
        bias = self._added(distance, products.dtype)
        scores = products * self.head_size**-0.5
        scores = scores if bias is None else scores + bias
        if self.normaliser in RECTIFIED:
            return rectified(scores, allowed, self.normaliser, self.gain)
        return scores.masked_fill(~allowed, -math.inf).softmax(-1)

    def _added(self, distance: Tensor, dtype: torch.dtype) -> Tensor | None:
        bias = self._bias(dtype)
        return None if bias is None else bias(distance.clamp_min(0))

    def _bias(self, dtype: torch.dtype) -> Bias | None:
        if self.positions == "alibi":
            return sloped(self.slopes, dtype)
        return None if self.bias is None else looked_up(self.bias)

    def _keep(self, part: Tensor) -> Tensor:
        bound = reach(self.pattern, self.window, self.stride)
        return part if bound is None else part[:, :, max(part.shape[2] - (bound - 1), 0) :]

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None and self._sees_all():
            return self._from_the_start(x)
        rows, length, _ = x.shape
        old_k, old_v, start = self.initial_state(rows) if state is None else state
        # all rows start together unless a state says otherwise
        first = start[:1] if state is None else start
        q, k, v = self._split(x, first[:, None] + torch.arange(length, device=x.device))
        k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        out = self._attend(q, k, v, first).transpose(1, 2).flatten(2)
        out = out if self.norm is None else self.norm(out)
        return projected(self.output, out), (self._keep(k), self._keep(v), start + length)

    def _sees_all(self) -> bool:
        """Whether weights are the softmax over all keys so far, of queries and keys as they are."""
        some = self.training and self.keep < 1
        return self.pattern == "full" and self.normaliser == "softmax" and not (self.unit or some)

    def _from_the_start(self, x: Tensor) -> tuple[Tensor, State]:
        rows, length, _ = x.shape
        both, at = projected(self.project, x), torch.arange(length, device=x.device)
        spins = turns(at, self.head_size, x.dtype) if self.positions == "rope" else None
        bias = self._added(at, x.dtype)
        y, k = causal_attention(both, spins, bias, self.heads, self.key_heads)
        v = both[..., -k.shape[-1] :]
        k, v = (part.unflatten(-1, (-1, self.head_size)).transpose(1, 2) for part in (k, v))
        return projected(self.output, y), (k, v, self.counters(rows) + length)

    def initial_state(self, batch: int) -> State:
        empty = self.zeros(batch, self.key_heads, 0, self.head_size)
        return empty, empty, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state


def placed(i: Tensor, j: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Places among keys (T, 1 or S) as positions (B, 1, T, 1 or S), key 0 at ``first`` (B,)."""
    i, j = (part + first.view(-1, 1, 1, 1) for part in (i, j))
    return i, j


def drawn(count: int, keep: float, device: torch.device) -> Tensor:
    """A share of the positions 0 ... count - 1, all equally likely, by the global generator."""
    # of the CPU, whose state a checkpoint holds
    return torch.randperm(count)[: max(round(keep * count), 1)].to(device)


def alibi_slopes(heads: int) -> Tensor:
    """2^(-8h/H) for H a power of two, else filled up from the next power's odd members."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    slopes += [2.0 ** (-4 * (head + 1) / power) for head in range(0, 2 * (heads - power), 2)]
    return torch.tensor(slopes)
