"""Memories that are small networks, trained by gradient descent as the sequence goes by."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import gelu

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.descent.descent_rule import Rule, cut

Matrices = tuple[Tensor, ...]


class Rates(NamedTuple):
    """What each position does to the memory, each (B, H, T); ``bound`` shapes the loss."""

    step: Tensor
    log_keep: Tensor
    log_momentum: Tensor | None
    bound: Tensor | None


class Memory(NamedTuple):
    """B, S, and B at the chunk's start, (B, H, m, n) each, one of each per matrix; p now and at
    that start, (B, H). Without momentum there is no S.
    """

    now: Matrices
    speed: Matrices
    anchor: Matrices
    share: Tensor
    anchor_share: Tensor


@accelerated(cpu="archsearch.kernels.memories.descent.descent_cpu:descent_memory")
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
    """What the memory answers at every position, (B, H, T, d) as ``q``, ``k`` and ``v`` are.

    S_t = eta_t S_{t-1} - theta_t grad(W; k_t, v_t), A_t = alpha_t A_{t-1} + S_t,
    W_t = retain(A_t), y_t = M(W_t; q_t). A_t = B_t + p_t A_0 of ``start``, A_0 (H, m, n), of which
    forgetting leaves the share p_t. M is W k for one matrix (d, d), and for two, (h, d) and
    (d, h), the residual network k + W_2 gelu(W_1 k), along whose gradient no error longer than one
    is followed. All gradients of a chunk are taken at the memory that its first position found.
    ``position`` (B,) is how far each row has come, None for the start of all.
    """
    outputs, begin = [], 0
    while begin < q.shape[2]:
        # from the start the border is known, and nothing has to be read
        left = chunk if position is None else _left_of_chunk(position + begin, chunk)
        end = min(begin + left, q.shape[2])
        part = Rates(*(None if rate is None else rate[..., begin:end] for rate in rates))
        y, memory = _stretch(*(x[:, :, begin:end] for x in (q, k, v)), part, memory, start, rule)
        outputs.append(y)
        begin = end
        if position is not None:
            memory = _anchored(memory, (position + end) % chunk == 0)
        elif end % chunk == 0:
            memory = memory._replace(anchor=memory.now, anchor_share=memory.share)
    return torch.cat(outputs, 2), memory


def _left_of_chunk(position: Tensor, chunk: int) -> int:
    """Positions up to the next border of a chunk; one at a time if rows disagree."""
    left = chunk - position % chunk
    return int(left[0]) if bool((left == left[0]).all()) else 1


def _anchored(memory: Memory, here: Tensor) -> Memory:
    """The rows (B,) in which a chunk ends take the memory as it is for the next one."""
    rows = here[:, None]
    both = zip(memory.now, memory.anchor, strict=True)
    anchor = tuple(torch.where(rows[..., None, None], new, old) for new, old in both)
    share = torch.where(rows, memory.share, memory.anchor_share)
    return memory._replace(anchor=anchor, anchor_share=share)


def whole(past: Matrices, share: Tensor, start: Matrices) -> Matrices:
    """A = B + p A_0 of each matrix."""
    pairs = zip(past, start, strict=True)
    return tuple(torch.addcmul(one, share[..., None, None], first) for one, first in pairs)


def _descend(
    weights: Matrices, k: Tensor, v: Tensor, bound: Tensor | None, rule: Rule
) -> list[tuple[Tensor, Tensor]]:
    """The gradient of each matrix as two factors, (B, H, T, m) and (B, H, T, n)."""
    hidden = k @ weights[0].mT
    if len(weights) == 1:
        return [(rule.error(hidden - v, bound), k)]
    active = gelu(hidden)
    # steps along an unbounded error of a nonlinear memory may diverge
    error = cut(rule.error(k + active @ weights[1].mT - v, bound))
    return [((error @ weights[1]) * _gelu_slope(hidden), k), (error, active)]


def _stretch(
    q: Tensor, k: Tensor, v: Tensor, rates: Rates, memory: Memory, start: Matrices, rule: Rule
) -> tuple[Tensor, Memory]:
    """Read and write at T positions (B, H, T, d) whose gradients share their anchor."""
    met = whole(memory.anchor, memory.anchor_share, start)
    anchor, full = tuple(map(rule.retain, met)), whole(memory.now, memory.share, start)
    factors = _descend(anchor, k, v, rates.bound, rule)
    decay = _decays(rates.log_keep)  # (B, H, T, T)
    left = rates.log_keep.cumsum(-1).exp()  # (B, H, T)
    written = decay * rates.step[..., None, :]
    pushed, swing = rates.step[..., None, :], None
    if rates.log_momentum is not None:
        momenta = _decays(rates.log_momentum)
        swung = rates.log_momentum.cumsum(-1).exp()
        written = (decay @ momenta) * rates.step[..., None, :]
        pushed = momenta[..., -1:, :] * rates.step[..., None, :]
        swing = (decay @ swung[..., None])[..., 0]

    def through(index: int, x: Tensor) -> Tensor:
        error, key = factors[index]
        if not rule.retains:
            y = left[..., None] * (x @ full[index].mT)
            if swing is not None:
                y = y + swing[..., None] * (x @ memory.speed[index].mT)
            return y - (written * (x @ key.mT)) @ error
        moved = torch.einsum("bhtr,bhrm,bhrn->bhtmn", written, error, key)
        after = left[..., None, None] * full[index][:, :, None] - moved
        if swing is not None:
            after = after + swing[..., None, None] * memory.speed[index][:, :, None]
        return (rule.retain(after) @ x[..., None])[..., 0]

    y = through(0, q) if len(factors) == 1 else q + through(1, gelu(through(0, q)))
    now, speed = [], []
    for index, (error, key) in enumerate(factors):
        change = (written[..., -1, :, None] * error).mT @ key
        after = left[..., -1, None, None] * memory.now[index] - change
        if swing is not None:
            after = after + swing[..., -1, None, None] * memory.speed[index]
            push = (pushed[..., 0, :, None] * error).mT @ key
            speed.append(swung[..., -1, None, None] * memory.speed[index] - push)
        now.append(after)
    share = left[..., -1] * memory.share
    return y, memory._replace(now=tuple(now), speed=tuple(speed), share=share)


def _decays(log_rate: Tensor) -> Tensor:
    """The product of the rates after s up to t, zero for s > t: (..., T) to (..., T, T)."""
    total = log_rate.cumsum(-1)
    difference = total[..., :, None] - total[..., None, :]
    ahead = torch.ones_like(difference, dtype=torch.bool).triu(1)
    return difference.masked_fill(ahead, -torch.inf).exp()


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5
    return 0.5 * (1 + torch.erf(x * 2**-0.5)) + x * density
