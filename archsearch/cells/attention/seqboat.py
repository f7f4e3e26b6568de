"""Sparse modular activation: attention among those positions only that ask for it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from archsearch.cells.attention.damped_ema import DampedEMA
from archsearch.cells.attention.gated_unit import GatedUnit
from archsearch.cells.cell import Cell, State


class SeqBoat(Cell):
    """y = silu(x + W_h m + c GAU(m)), m = silu(ema(x)), with the GAU among active positions only.

    A position is active where r_1 > r_0, r = W_r m; c = softmax(r / tau)_1 there and 0 elsewhere,
    which alone gives the router its gradient; tau = exp(t) starts as ``temperature`` sqrt(W). The
    gated unit sees the last ``window`` active positions, however far back those are (Ren et al.
    2023, arXiv 2306.11197, section 3). Which are active is the choice of each position by itself,
    no loss asks for few. State: the averages (B, W, N), keys (B, window - 1, Z) and values
    (B, window - 1, V) of the last active positions, the latest at the end, and how many (B,).
    """

    role = "attention"
    no_decay = frozenset({"log_temperature"})

    def __init__(
        self,
        width: int,
        dims: int = 8,
        window: int = 16,
        expand: float = 1.0,
        query_size: int = 32,
        normaliser: str = "softmax",
        temperature: float = 1.0,
    ) -> None:
        super().__init__(width)
        self.window = window
        self.ema = DampedEMA(width, dims)
        self.route = nn.Linear(width, 2)
        self.direct = nn.Linear(width, width)
        self.unit = GatedUnit(width, expand, query_size, normaliser, window)
        for linear in (self.route, self.direct):
            # small, yet not zero: among equal choices nothing would ever be active
            nn.init.trunc_normal_(linear.weight, std=0.02, a=-0.04, b=0.04)
            nn.init.zeros_(linear.bias)
        start = math.log(temperature * math.sqrt(width))
        self.log_temperature = nn.Parameter(torch.full((1,), start))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        averages, *memory = self.initial_state(len(x)) if state is None else state
        mixed, averages = self.ema(x, averages)
        y, memory = self._mix(x, silu(mixed).to(x.dtype), memory)
        return y, (averages, *memory)

    def _mix(self, x: Tensor, m: Tensor, memory: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        routes = self.route(m)
        active = routes[..., 1] > routes[..., 0]  # (B, T)
        share = (routes * torch.exp(-self.log_temperature)).softmax(-1)[..., 1:]
        old_k, old_v, held = memory
        gate, q, k, v = self.unit.split(compress(m, active))
        k, v = torch.cat([old_k, k], 1), torch.cat([old_v, v], 1)
        count, slots = active.sum(1), self.window - 1
        place = torch.arange(k.shape[1], device=x.device)
        there = (place >= slots - held[:, None]) & (place < slots + count[:, None])
        seen = self.unit.answer(gate, self.unit.attend(q, k, v, there))
        y = silu(x + self.direct(m) + share * extract(seen, active))
        last = (count[:, None] + place[:slots])[..., None]
        kept = [part.gather(1, last.expand(-1, -1, part.shape[2])) for part in (k, v)]
        return y, [*kept, (held + count).clamp_max(slots)]

    def initial_state(self, batch: int) -> State:
        averages = self.zeros(batch, self.width, self.ema.dims)
        keys = self.zeros(batch, self.window - 1, self.unit.size)
        values = self.zeros(batch, self.window - 1, self.unit.values)
        return averages, keys, values, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        averages, *memory = state
        mixed, averages = self.ema.step(x, averages)
        y, memory = self._mix(x[:, None], silu(mixed).to(x.dtype)[:, None], memory)
        return y[:, 0], (averages, *memory)


def compress(x: Tensor, active: Tensor) -> Tensor:
    """The active positions (B, T) of each row of ``x`` (B, T, W) from the left, in their order.

    (B, n, W) with n the most active positions of a row, one at least; what is behind a row's last
    active position is of no meaning. In a graph that is exported n is T, which it can know.
    """
    exported = torch.compiler.is_exporting()
    most = active.shape[1] if exported else max(int(active.sum(1).max()), 1)
    order = (~active).to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    return x.gather(1, order[..., None].expand(-1, -1, x.shape[2]))


def extract(packed: Tensor, active: Tensor) -> Tensor:
    """What :func:`compress` gathered, back at its places, and zero at the others: (B, T, W)."""
    slot = (active.cumsum(1) - 1).clamp_min(0)[..., None]
    return packed.gather(1, slot.expand(-1, -1, packed.shape[2])) * active[..., None]
