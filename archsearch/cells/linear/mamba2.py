"""Mamba-2: a selective state space model with one rate per head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, spread
from archsearch.cells.linear.remedies import Seen, clipped, followed, last_positions
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.cells.linear.stretches import borders
from archsearch.cells.linear.timescale import before_softplus, log_uniform
from archsearch.errors import ArchitectureError
from archsearch.kernels.memories.duality.duality_mixer import duality_mixer
from archsearch.kernels.memories.signed_attention import attend_once, floored, signed_attention
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.parts import parts
from archsearch.kernels.projections.projected import projected, untouched


class Mamba2(Cell):
    """S_t = exp(d_t A) S_{t-1} + B_t (d_t u_t)', r_t = S_t' C_t + D u_t, per head.

    u, B and C are projections of x, convolved over ``conv`` positions and activated; B and C are
    those of all heads, d_t = softplus(w x_t + b_d) and A = -exp(a_log) are one number per head.
    y_t = W_o rms(r_t silu(W_z x_t)) (Dao, Gu 2024, arXiv 2405.21060, section 7): linear attention
    with queries C, keys B and values d u. softplus(b_d) starts log-uniform from ``dt_min`` to
    ``dt_max``, but no smaller than 1e-4, -A uniform from ``rate_min`` to ``rate_max``. Where
    ``negative`` the factor is 2 exp(d_t A) - 1. Its size counts as exp(-5) where it is smaller.
    State: S (B, H, state, E / H) with E = expand W, and the convolution's (B, conv - 1,
    E + 2 state).

    A ``remedy`` is for sequences much longer than those of training, on which S would overflow,
    and changes no parameter (Chen et al. 2024, arXiv 2410.07145, section 4). ``decay``: from
    position ``after`` on the factor is exp(``forget`` d_t A) and what is written ``insert``
    d_t u_t. ``clip``: after every ``every`` positions S min(1, ``largest`` / |S|) is carried on,
    |S| the Frobenius norm of each head. Both have each row's position (B,) in the state.
    ``window``: S_t less the part that is older than ``window`` positions; the state is then
    B (B, window - 1, state), d u (B, window - 1, H, E / H) and the factors (B, window - 1, H) of
    the positions before in place of S; slower than S for long windows.
    """

    no_decay = frozenset({"a_log", "delta_bias", "skip"})

    def __init__(
        self,
        width: int,
        heads: int = 4,
        state: int = 32,
        expand: float = 2.0,
        conv: int = 4,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        negative: bool = False,
        conv_start: str = "uniform",
        rate_min: float = 1.0,
        rate_max: float = 16.0,
        remedy: str = "none",
        after: int = 1024,
        forget: float = 2.0,
        insert: float = 0.5,
        largest: float = 8.0,
        every: int = 64,
        window: int = 64,
    ) -> None:
        super().__init__(width)
        if rate_min > rate_max:
            raise ArchitectureError(
                f"rate_min {rate_min} is above rate_max {rate_max}; lower rate_min"
            )
        self.size, self.heads, self.negative = int(width * expand), heads, negative
        self.head_size = split_width(self.size, heads, "inner width")
        self.parts = [self.size, state, state]
        self.remedy, self.after, self.forget, self.insert = remedy, after, forget, insert
        self.largest, self.every, self.window = largest, every, window
        self.project = nn.Linear(width, 2 * self.size + 2 * state + heads, bias=False)
        self.conv = ShortConv(sum(self.parts), conv, conv_start, activated=True)
        self.a_log = nn.Parameter((rate_min + (rate_max - rate_min) * torch.rand(heads)).log())
        start = log_uniform((heads,), dt_min, dt_max).exp().clamp_min(1e-4)
        self.delta_bias = nn.Parameter(before_softplus(start))
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(self.size, eps=1e-5)
        self.output = nn.Linear(self.size, width, bias=False)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gate z (..., E), what is convolved and the step sizes (..., H)."""
        sizes = [self.size, sum(self.parts), self.heads]
        if untouched(self.project):
            z, mixed, delta = parts(x, self.project.weight, sizes)
        else:
            z, mixed, delta = self.project(x).split(sizes, -1)
        return z, mixed, softplus(full(delta) + self.delta_bias)

    def _split(
        self, mixed: Tensor, delta: Tensor, late: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Queries, keys, what is read past, what is written and factors; ``late`` (..., 1)."""
        u, write, read = mixed.split(self.parts, -1)
        u = u.unflatten(-1, (self.heads, -1))
        fades, added = delta * self.a_log.exp(), delta
        if late is not None:
            fades = torch.where(late, self.forget * fades, fades)
            added = torch.where(late, self.insert * added, added)
        factor = spread(torch.exp(-fades), self.negative)
        # one head that all share
        return read[..., None, :], write[..., None, :], u, added[..., None] * u, factor

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        linear = (self.project, self.output)
        plain = all(untouched(part) and part.bias is None for part in linear)
        rest = untouched(self.norm, nn.RMSNorm) and untouched(self.conv, ShortConv)
        return plain and rest and self.conv.taps > 0 and not self.negative

    def _skip(self) -> Tensor:
        return self.skip[:, None].expand(-1, self.head_size).flatten()

    def _answer(self, read: Tensor, u: Tensor, z: Tensor) -> Tensor:
        gated = gated_skip(read.flatten(-2), u.flatten(-2), self._skip(), z, self.norm.weight)
        gated = gated.to(z.dtype)
        if untouched(self.output):
            return parts(gated, self.output.weight, [self.width])[0]
        return projected(self.output, gated)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent, *position = self.initial_state(len(x)) if state is None else state
        start = position[0] if position and state is not None else None
        late = None
        if self.remedy == "clip":
            y, memory, recent = self._clipped(x, memory, recent, start)
        else:
            if self.remedy == "decay" and (start is not None or x.shape[1] > self.after):
                late = position[0][:, None] + torch.arange(x.shape[1], device=x.device)
                late = late[..., None] >= self.after  # (B, T, 1)
            y, memory, recent = self._stretch(x, memory, recent, late)
        return y, (memory, recent, *(at + x.shape[1] for at in position))

    def _stretch(
        self, x: Tensor, memory: Tensor | Seen, recent: Tensor, late: Tensor | None
    ) -> tuple[Tensor, Tensor | Seen, Tensor]:
        if late is None and not isinstance(memory, tuple) and self._whole():
            weights = self.project.weight, self.conv.weight, self.delta_bias, self.a_log.exp()
            weights += self._skip(), self.norm.weight, self.output.weight
            return duality_mixer(x, memory, recent, *weights)
        z, mixed, delta = self._parts(x)
        mixed, recent = self.conv(mixed, recent)
        q, k, u, added, factor = self._split(mixed, delta, late)
        if isinstance(memory, tuple):
            read, memory = self._over_window(q, k, added, factor, memory)
        else:
            read, memory = signed_attention(q, k, added, factor, memory)
        return self._answer(read, u, z), memory, recent

    def _clipped(
        self, x: Tensor, memory: Tensor, recent: Tensor, start: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        outputs, begin = [], 0
        for end in borders(x.shape[1], self.every, start):
            y, memory, recent = self._stretch(x[:, begin:end], memory, recent, None)
            outputs.append(y)
            begin = end
            if start is not None:
                memory = clipped(memory, self.largest, (start + end) % self.every == 0)
            elif end % self.every == 0:
                memory = clipped(memory, self.largest)
        return torch.cat(outputs, 1), memory, recent

    def _over_window(
        self, q: Tensor, k: Tensor, added: Tensor, factor: Tensor, seen: Seen
    ) -> tuple[Tensor, Seen]:
        q, k, v, factor, *old = one_type(q[..., 0, :], k[..., 0, :], added, floored(factor), *seen)
        seen = old[0], old[1], old[2]
        return last_positions(q, k, v, factor, seen), followed(seen, k, v, factor)

    def initial_state(self, batch: int) -> State:
        recent = self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)
        if self.remedy == "window":
            shapes = (self.parts[1],), (self.heads, self.head_size), (self.heads,)
            k, v, factor = (self.zeros(batch, self.window - 1, *shape) for shape in shapes)
            return (k, v, factor + 1), recent
        memory = self.zeros(batch, self.heads, self.parts[1], self.head_size)
        if self.remedy == "none":
            return memory, recent
        return memory, recent, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent, *position = state
        z, mixed, delta = self._parts(x)
        mixed, recent = self.conv.step(mixed, recent)
        late = position[0][:, None] >= self.after if self.remedy == "decay" else None
        q, k, u, added, factor = self._split(mixed, delta, late)
        if self.remedy == "window":
            now = (part[:, None] for part in (q, k, added, factor))
            read, memory = self._over_window(*now, memory)
            read = read[:, 0]
        else:
            read, memory = attend_once(q, k, added, floored(factor)[..., None], memory)
        position = [at + 1 for at in position]
        if self.remedy == "clip":
            memory = clipped(memory, self.largest, position[0] % self.every == 0)
        return self._answer(read, u, z), (memory, recent, *position)
