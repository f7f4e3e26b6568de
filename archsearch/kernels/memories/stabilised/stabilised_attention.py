"""A matrix memory with exponential input gates, kept in range by a running maximum.

C_t = f_t C_{t-1} + exp(i_t) k_t v_t' and n_t = f_t n_{t-1} + exp(i_t) k_t are held as exp(-m_t)
times themselves, m_t = max(log f_t + m_{t-1}, i_t), so that neither a large gate nor a small one
leaves the range of a float. What is read does not depend on m, so m needs no gradient.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.one_type import one_type
from archsearch.kernels.scans.linear_scan import linear_scan

CHUNK = 16
# a step never forgets below exp(-30): less than the rounding of single precision
SMALLEST_LOG_FORGET = -30.0
# keeps the quotient finite where queries and keys are orthogonal and gates large
SMALLEST_SUM = 1e-6
GREATEST_FLOOR = 80.0  # the logarithm of the largest divisor that a memory needs

# the memory beside its sum of keys, exp(-m) [C, n] (B, H, K, V + 1), and m (B, H)
Memory: TypeAlias = tuple[Tensor, Tensor]


def stabilised_attention_reference(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, log_forget: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    """One position at a time; what :func:`stabilised_attention` is compared with."""
    outputs = []
    for t in range(q.shape[1]):
        read, memory = weigh_once(q[:, t], k[:, t], v[:, t], gate[:, t], log_forget[:, t], memory)
        outputs.append(read)
    return torch.stack(outputs, 1), memory


def weigh_once(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, log_forget: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    """One position: q, k (B, H, K), v (B, H, V), gate and log_forget (B, H)."""
    q, k, v, gate, log_forget, held, size = one_type(q, k, v, gate, log_forget, *memory)
    log_forget = log_forget.clamp_min(SMALLEST_LOG_FORGET)
    now = torch.maximum(log_forget + size, gate).detach()
    kept, added = (log_forget + size - now).exp(), (gate - now).exp()
    held = kept[..., None, None] * held
    held = held + (added[..., None] * k)[..., None] * pad(v, (0, 1), value=1.0)[..., None, :]
    return quotient(torch.einsum("bhk,bhkv->bhv", q, held), now), (held, now)


@accelerated(cpu="archsearch.kernels.memories.stabilised.stabilised_cpu:stabilised_attention")
def stabilised_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, log_forget: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    """C_t' q_t / max(|n_t' q_t|, 1) at every position (B, T, H, V), and the memory that is left.

    ``q``, ``k`` are (B, T, H, K), ``v`` (B, T, H, V), ``gate`` the logarithm i_t of the input gate
    and ``log_forget`` that of the forget gate, at most 0, (B, T, H) (Beck et al. 2024, arXiv
    2405.04517, section 2.3 and appendix A.3).
    """
    length = q.shape[1]
    q, k, v, gate, log_forget, held, size = one_type(q, k, v, gate, log_forget, *memory)
    missing = -length % CHUNK
    if missing:
        # padding forgets nothing and, with a gate of nearly zero, writes nothing
        gate = pad(gate, (0, 0, 0, missing), value=-1e30)
        log_forget = pad(log_forget, (0, 0, 0, missing))
        q, k, v = (pad(part, (0, 0, 0, 0, 0, missing)) for part in (q, k, v))
    q, k, v, gate, log_forget = (_chunks(part) for part in (q, k, v, gate, log_forget))
    # no share at all of a missing number is missing still, and would reach what came before it:
    # zero stands for it, and shares are missing from it on
    missed = (0.0 * v.detach().sum(-1)).cumsum(-1)  # (B, n, H, C)
    v = pad(v.nan_to_num(0.0, 0.0, 0.0), (0, 1), value=1.0)
    fallen = log_forget.clamp_min(SMALLEST_LOG_FORGET).cumsum(-1)  # (B, n, H, C)
    weight = gate - fallen
    sizes = _sizes(weight.detach(), fallen.detach(), size)  # (B, n + 1, H): before each chunk
    first, last = sizes[:, :-1], sizes[:, 1:]
    most = torch.maximum(first[..., None], weight.detach().cummax(-1).values)
    inner = fallen.detach() + most  # m at every position (B, n, H, C)
    between = (fallen - inner)[..., :, None] + weight[..., None, :]
    # what lies above the diagonal may be too large for its exponential
    future = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.mT).masked_fill(future, 0.0) * between.masked_fill(future, -torch.inf).exp()
    reach = (fallen + first[..., None] - inner).exp() + missed
    left = (fallen[..., -1:] + weight - last[..., None]).exp()
    written = (k * left[..., None]).mT @ v  # (B, n, H, K, V + 1)
    kept = ((fallen[..., -1] + first - last).exp() + missed[..., -1])[..., None, None]
    after = linear_scan(kept, written, held)
    before = torch.cat([held[:, None], after[:, :-1]], 1)
    found = scores @ v + (q * reach[..., None]) @ before
    out = quotient(found, inner).transpose(2, 3).flatten(1, 2)[:, :length]
    return out, (after[:, -1], last[:, -1])


def quotient(found: Tensor, size: Tensor) -> Tensor:
    """What is read (..., V) of what is found, exp(-m) [C, n]' q (..., V + 1), and m (...)."""
    # where m is very negative the sum is far below one, whatever it is
    one = (-size).clamp_max(GREATEST_FLOOR).exp().clamp_min(SMALLEST_SUM)
    return found[..., :-1] / torch.maximum(found[..., -1].abs(), one)[..., None]


def _sizes(weight: Tensor, fallen: Tensor, size: Tensor) -> Tensor:
    """m before each chunk and after the last."""
    sizes = [size]
    for most, end in zip(weight.amax(-1).unbind(1), fallen[..., -1].unbind(1), strict=True):
        sizes.append(end + torch.maximum(sizes[-1], most))
    return torch.stack(sizes, 1)


def _chunks(x: Tensor) -> Tensor:
    """(B, n C, H, ...) as (B, n, H, C, ...)."""
    return x.unflatten(1, (-1, CHUNK)).transpose(2, 3)
