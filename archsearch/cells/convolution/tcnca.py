"""Temporal convolution with chunked attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention, silu

from archsearch.cells.cell import Cell, State
from archsearch.cells.convolution.tcn import TCN
from archsearch.kernels.attention.weighed_attention import weigh

SLOWEST = 10_000  # the longest wave of a rotary bias, over 2 pi


class TCNCA(Cell):
    """A dilated convolution x' = tcn(x) carries far; attention inside chunks of x looks closely.

    z = silu(W_z x'), q and k = z scaled and shifted per channel, v = silu(W_v x); o = softmax of
    q'k / sqrt(Z) + bias_{distance} over the earlier positions of the same chunk; with
    u = silu(W_u x'), g = s(W_g x'): y = g silu(W_h x' + U (u o)) + (1 - g) x (Pham et al. 2023,
    arXiv 2312.05605, on the block of MEGA, Ma et al. 2022, arXiv 2209.10655, equations 9 to 16).
    With ``normaliser`` laplace the weights are MEGA's function, near relu(s)^2, of s = q'k / n +
    bias_{distance}, n the keys in sight, and sum to no one. ``bias`` is a number per distance,
    (R_{distance} a)'b with vectors a and b and the rotation R of each of their Z / 2 pairs at a
    rate of its own (rotary), as many parameters for any chunk, or none. State: the convolution's,
    q's partners k (B, chunk, Z) and v (B, chunk, W) of the chunk at hand, and each row's position
    (B,).
    """

    no_decay = frozenset({"scale", "shift"})

    def __init__(
        self,
        width: int,
        chunk: int = 16,
        query_size: int = 32,
        kernel: int = 3,
        layers: int = 3,
        dilation: int = 2,
        normaliser: str = "softmax",
        bias: str = "distance",
    ) -> None:
        super().__init__(width)
        self.normaliser = normaliser
        self.chunk, self.query_size = chunk, query_size
        self.tcn = TCN(width, kernel, layers, dilation)
        self.shared = nn.Linear(width, query_size)
        self.scale = nn.Parameter(torch.empty(2, query_size).normal_(1.0, 0.02))
        self.shift = nn.Parameter(torch.zeros(2, query_size))
        self.value = nn.Linear(width, width)
        self.gates = nn.Linear(width, 3 * width)  # reset, update, candidate
        self.attended = nn.Linear(width, width, bias=False)
        # of each distance
        self.bias = nn.Parameter(torch.zeros(chunk)) if bias == "distance" else None
        self.rotary = _RotaryBias(chunk, max(query_size // 2, 1)) if bias == "rotary" else None

    def _project(self, x: Tensor, convolved: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = silu(self.shared(convolved))
        return z * self.scale[0] + self.shift[0], z * self.scale[1] + self.shift[1], self._v(x)

    def _v(self, x: Tensor) -> Tensor:
        return silu(self.value(x))

    def _answer(self, x: Tensor, convolved: Tensor, seen: Tensor) -> Tensor:
        reset, update, candidate = self.gates(convolved).chunk(3, -1)
        candidate = silu(candidate + self.attended(silu(reset) * seen))
        return x + torch.sigmoid(update) * (candidate - x)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        rows, length, _ = x.shape
        inner, old_k, old_v, start = self.initial_state(rows) if state is None else state
        convolved, inner = self.tcn(x, inner)
        q, k, v = self._project(x, convolved)
        begun = start % self.chunk  # positions of the first chunk that are there already
        places = begun[:, None] + torch.arange(length, device=x.device)  # (B, T)
        total = self.chunk * math.ceil((self.chunk - 1 + length) / self.chunk)
        valid = torch.arange(self.chunk, device=x.device) < begun[:, None]
        old_k, old_v = (part * valid[..., None] for part in (old_k, old_v))
        q = _put(q.new_zeros(rows, total, self.query_size), places, q)
        k, v = (
            _put(pad(old, (0, 0, 0, total - self.chunk)), places, new)
            for old, new in ((old_k, k), (old_v, v))
        )
        parts = (part.unflatten(1, (-1, self.chunk)) for part in (q, k, v))
        read = self._read(*parts).flatten(1, 2)
        last = self.chunk * (places[:, -1:] // self.chunk) + torch.arange(
            self.chunk, device=x.device
        )
        kept = (_take(k, last), _take(v, last))
        return self._answer(x, convolved, _take(read, places)), (inner, *kept, start + length)

    def _read(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What the positions of chunks (B, n, C, .) find in their own chunk, (B, n, C, W)."""
        rows = torch.arange(self.chunk, device=q.device)
        distance = rows[:, None] - rows
        bias = self._bias()[distance.clamp_min(0)]  # (C, C)
        if self.normaliser == "softmax":
            mask = bias.masked_fill(distance < 0, -math.inf)
            return scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return weigh(q @ k.mT, bias, distance >= 0, self.normaliser, self.query_size) @ v

    def _bias(self) -> Tensor:
        """That of each distance, (chunk,)."""
        if self.rotary is not None:
            turned: Tensor = self.rotary()
            return turned
        return self.zeros(self.chunk) if self.bias is None else self.bias

    def initial_state(self, batch: int) -> State:
        keys = self.zeros(batch, self.chunk, self.query_size)
        values = self.zeros(batch, self.chunk, self.width)
        return self.tcn.initial_state(batch), keys, values, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        inner, keys, values, position = state
        convolved, inner = self.tcn.step(x, inner)
        q, k, v = self._project(x, convolved)
        here = (position % self.chunk)[:, None]  # (B, 1)
        slots = torch.arange(self.chunk, device=x.device)
        earlier, own = (slots < here)[..., None], (slots == here)[..., None]
        keys, values = (
            torch.where(own, new[:, None], old * earlier) for old, new in ((keys, k), (values, v))
        )
        products = (keys @ q[..., None])[..., 0]
        bias = self._bias()[(here - slots).clamp_min(0)]
        if self.normaliser == "softmax":
            scores = products * self.query_size**-0.5 + bias
            weights = scores.masked_fill(slots > here, -math.inf).softmax(-1)
        else:
            weights = weigh(products, bias, slots <= here, self.normaliser, self.query_size)
        seen = (weights[:, None] @ values)[:, 0]
        return self._answer(x, convolved, seen), (inner, keys, values, position + 1)


class _RotaryBias(nn.Module):
    """(R_d a)'b for each distance d below ``chunk``; R_d turns pair j by d / 10000^(j / pairs)."""

    def __init__(self, chunk: int, pairs: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(2 * pairs).normal_(std=0.02))
        self.b = nn.Parameter(torch.empty(2 * pairs).normal_(std=0.02))
        rates = SLOWEST ** -(torch.arange(pairs).double() / pairs)
        angles = torch.arange(chunk).double()[:, None] * rates
        turns = torch.cat([angles.cos(), angles.sin()], 1).to(self.a.dtype)
        self.register_buffer("turns", turns, persistent=False)  # (C, 2 pairs)

    def forward(self) -> Tensor:
        first, second = self.a.chunk(2)
        one, other = self.b.chunk(2)
        shares = torch.cat([first * one + second * other, first * other - second * one])
        return self.turns @ shares


def _put(into: Tensor, places: Tensor, what: Tensor) -> Tensor:
    """``into`` (B, S, C) with ``what`` (B, T, C) at the given places (B, T) of each row."""
    return into.scatter(1, places[..., None].expand_as(what), what.to(into.dtype))


def _take(of: Tensor, places: Tensor) -> Tensor:
    """What (B, T, C) stands at the given places (B, T) of each row of ``of`` (B, S, C)."""
    return of.gather(1, places[..., None].expand(-1, -1, of.shape[-1]))
