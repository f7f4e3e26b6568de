"""Memories that learn, trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_lanes import into_lanes, out_of_lanes
from archsearch.kernels.memories.descent.descent_loops import forward
from archsearch.kernels.memories.descent.descent_memory import Matrices, Memory, Rates, whole
from archsearch.kernels.memories.descent.descent_memory import descent_memory as accelerated_memory
from archsearch.kernels.memories.descent.descent_products import ROWS
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.kernels.memories.descent.descent_slopes import backward
from archsearch.kernels.trained import SINGLE, arrays, fit, flat, once_differentiable, trained

MOST = 2**27  # numbers kept of all stretches
NORMS = (2, 4)
# the letters of the matrices of a memory, by how many there are, and of those it starts from
MATRICES = {1: (" bhdd", " hdd"), 2: (" bhmd bhdm", " hmd hdm")}
plain: Any = accelerated_memory.plain  # type: ignore[attr-defined]


def descent_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rates: Rates,
    memory: Memory,
    start: Matrices,
    position: Tensor | None,
    chunk: int,
    rule: Rule,
) -> tuple[Tensor, Memory]:
    """See :func:`archsearch.kernels.memories.descent.descent_memory.descent_memory`.

    Torch does what is only evaluated, recorded, in another precision or too much to keep, and rows
    that disagree about where in their chunk they are.
    """
    given = q, k, v, rates, memory, start, position, chunk, rule
    inputs = [q, k, v, *(rate for rate in rates if rate is not None), *memory.now]
    inputs += [*memory.speed, *memory.anchor, memory.share, memory.anchor_share, *start]
    if not trained(inputs, SINGLE) or rule.q not in NORMS or q.shape[-1] % ROWS:
        return plain(*given)  # type: ignore[no-any-return]
    if not _fits(inputs, rates, memory, start, position):
        return plain(*given)  # type: ignore[no-any-return]
    past = torch.zeros(1, dtype=torch.long) if position is None else position % chunk
    offset, steps = int(past[0]), q.shape[2]
    stretches = -(-(offset + steps) // chunk)
    lanes = len(q) * q.shape[1] + -len(q) * q.shape[1] % WIDTH
    numbers = sum(matrix[0, 0].numel() for matrix in memory.now)
    if bool((past != offset).any()) or lanes * numbers * (stretches + 1) > MOST:
        return plain(*given)  # type: ignore[no-any-return]
    # the last stretch before which a chunk begins
    border = (offset + steps) // chunk
    inner = memory.now[0].shape[2] if len(memory.now) > 1 else 0
    moving = rates.log_momentum is not None
    sizes = [inner, chunk, offset, int(moving), rule.p, int(rule.outliers), rule.q]
    sizes += [int(rule.spread), border]
    parts, none = _rates(rates), tuple(torch.zeros_like(matrix) for matrix in memory.now)
    anchor = _gathered(whole(memory.anchor, memory.anchor_share, start))
    base, now = _gathered(whole(none, memory.share, start)), _gathered(memory.now)
    speed = _gathered(memory.speed) if moving else now.new_empty(len(now), 0, WIDTH)
    y, now, speed, middle = _Descent.apply(q, k, v, parts, anchor, base, now, speed, sizes)
    left = memory.share[..., None] * rates.log_keep.cumsum(-1).exp()
    met, share = memory.anchor, memory.anchor_share
    if border:
        share = left[..., border * chunk - offset - 1]
        met = _less(_scattered(middle, met), share, start)
    last = _less(_scattered(now, memory.now), left[..., -1], start)
    return y, Memory(last, _scattered(speed, memory.speed), met, left[..., -1], share)


def _fits(
    inputs: list[Tensor], rates: Rates, memory: Memory, start: Matrices, position: Tensor | None
) -> bool:
    moving, depth = rates.log_momentum is not None, len(memory.now)
    counts = [len(part) for part in (memory.speed, memory.anchor, start)]
    if depth not in MATRICES or counts != [moving * depth, depth, depth]:
        return False
    of_all, first = MATRICES[depth]
    letters = "bhtd bhtd bhtd" + sum(rate is not None for rate in rates) * " bht"
    letters += (2 + moving) * of_all + " bh bh" + first
    if position is None:
        return fit(letters, *inputs)
    return fit(letters + " b", *inputs, position)


def _less(past: Matrices, share: Tensor, start: Matrices) -> Matrices:
    """B as it is, with the slopes of A - p A_0 where it has those of A."""
    none = tuple(torch.zeros_like(matrix) for matrix in past)
    known = whole(none, share, start)
    return tuple(b - (part - part.detach()) for b, part in zip(past, known, strict=True))


def _rates(rates: Rates) -> Tensor:
    """theta, alpha, eta and the bound as (G, T, 4, C)."""
    step, log_keep, log_momentum, bound = rates
    nothing = torch.zeros_like(step)
    swing = nothing if log_momentum is None else log_momentum.exp()
    parts = torch.stack([step, log_keep.exp(), swing, nothing if bound is None else bound], -1)
    return _grouped(parts.flatten(0, 1))


def _gathered(matrices: Matrices) -> Tensor:
    """Matrices (B, H, m, n) as (G, N, C)."""
    return _grouped(torch.cat([matrix.flatten(2) for matrix in matrices], 2).flatten(0, 1))


def _grouped(x: Tensor) -> Tensor:
    """(B H, ...) as (G, ..., C)."""
    filled = pad(x, (0, 0) * (x.ndim - 1) + (0, -len(x) % WIDTH))
    return filled.unflatten(0, (-1, WIDTH)).movedim(1, -1).contiguous()


def _scattered(gathered: Tensor, like: Matrices) -> Matrices:
    """(G, N, C) as the matrices (B, H, m, n)."""
    if not like:
        return ()
    rows, heads = like[0].shape[:2]
    pairs = gathered.transpose(1, 2).flatten(0, 1)[: rows * heads].unflatten(0, (rows, heads))
    parts = pairs.split([matrix[0, 0].numel() for matrix in like], -1)
    return tuple(part.view_as(one) for part, one in zip(parts, like, strict=True))


class _Descent(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rates: Tensor,
        anchor: Tensor,
        base: Tensor,
        now: Tensor,
        speed: Tensor,
        sizes: list[int],
    ) -> tuple[Tensor, ...]:
        rows, heads, steps, size = q.shape
        inner, chunk, offset = sizes[:3]
        groups, numbers, stretches = *now.shape[:2], -(-(offset + steps) // chunk)
        asks, keys, values = (_in_lanes(x, groups) for x in (q, k, v))
        memory = now.new_empty(groups, stretches + 1, numbers, WIDTH)
        speeds = now.new_empty(groups, stretches + 1, speed.shape[1], WIDTH)
        memory[:, 0], speeds[:, 0] = now, speed
        apart, said, out = (torch.empty_like(asks) for _ in range(3))
        hidden, asked = (now.new_empty(groups, steps, inner, WIDTH) for _ in range(2))
        powers = now.new_empty(groups, steps, 2, WIDTH)
        masses = now.new_empty(groups, steps, 2 * (inner + size) if sizes[7] else 0, WIDTH)
        lefts = now.new_ones(groups, stretches + 1, WIDTH)
        kept = (memory, speeds, apart, said, hidden, asked, powers, masses, lefts)
        forward(*arrays(asks, keys, values, rates, anchor, base, *kept, out), np.array(sizes))
        ctx.save_for_backward(asks, keys, rates, anchor, base, *kept)
        ctx.sizes, ctx.heads = sizes, heads
        y = _from_lanes(out, rows, heads)
        return y, memory[:, -1].clone(), speeds[:, -1].clone(), memory[:, sizes[-1]].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor, dnow: Tensor, dspeed: Tensor, dmiddle: Tensor
    ) -> tuple[Tensor | None, ...]:
        asks, keys, rates, anchor, base, *kept = ctx.saved_tensors
        rows, heads = dy.shape[:2]
        known = (_in_lanes(dy, len(asks)), asks, keys, rates, anchor, base, *kept, dmiddle)
        dmemory, dspeeds = (x.clone(memory_format=torch.contiguous_format) for x in (dnow, dspeed))
        dq, dk, dv = (torch.zeros_like(asks) for _ in range(3))
        drates, danchor = torch.zeros_like(rates), torch.zeros_like(anchor)
        found = (dmemory, dspeeds, dq, dk, dv, drates, danchor)
        backward(*arrays(*known), *arrays(*found), np.array(ctx.sizes))
        slopes = (_from_lanes(x, rows, heads) for x in (dq, dk, dv))
        return *slopes, drates, danchor, dmemory, dmemory, dspeeds, None


def _in_lanes(x: Tensor, groups: int) -> Tensor:
    """(B, H, T, d) as (G, T, d, C)."""
    x = x if x.stride(-1) == 1 else x.contiguous()
    lanes = x.new_empty(groups, *x.shape[2:], WIDTH)
    into_lanes(flat(x), *arrays(lanes), np.array([*x.shape[:2], *x.stride()[:3]]))
    return lanes


def _from_lanes(lanes: Tensor, rows: int, heads: int) -> Tensor:
    """(G, T, d, C) as (B, H, T, d), which lies as (B, T, H, d)."""
    x = lanes.new_empty(rows, lanes.shape[1], heads, lanes.shape[2])
    out_of_lanes(*arrays(lanes, x))
    return x.transpose(1, 2)
