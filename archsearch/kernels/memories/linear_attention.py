"""A matrix memory with forgetting, S_t = diag(alpha_t) S_{t-1} + k_t v_t', read as o_t = S_t' q_t.

Chunkwise: inside a chunk positions meet in one matrix product, between chunks only the memory
travels. Decays are given as logarithms, per head or per key channel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.lower_product import lower_product
from archsearch.kernels.one_type import one_type
from archsearch.kernels.scans.linear_scan import linear_scan

# a step never forgets below exp(-5), 0.7 %: then no chunk's decay leaves the range of a float
SLOWEST_LOG_DECAY = -5.0
CHUNK = 16


def linear_attention_reference(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`linear_attention` is compared with."""
    if log_decay.ndim == 3:
        log_decay = log_decay[..., None]
    decay = log_decay.clamp_min(SLOWEST_LOG_DECAY).exp()
    outputs = []
    for t in range(q.shape[1]):
        memory = decay[:, t, :, :, None] * memory + k[:, t, :, :, None] * v[:, t, :, None]
        outputs.append((q[:, t, :, :, None] * memory).sum(-2))
    return torch.stack(outputs, 1), memory


@accelerated(
    cpu="archsearch.kernels.memories.memory_cpu:linear_attention",
    cuda="archsearch.kernels.memories.memory_triton:linear_attention",
)
def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What the memory answers at every position, and the memory that is left.

    ``q``, ``k`` are (B, T, H, K), ``v`` (B, T, H, V), ``memory`` (B, H, K, V). ``log_decay`` is
    not positive and either (B, T, H, K), a rate per key channel (gated linear attention,
    arXiv 2312.06635), or (B, T, H) with B possibly one, a rate per head (retention,
    arXiv 2307.08621). Rates below exp(-5) count as exp(-5). ``q`` and ``k``
    may have one head, which all share. Returns (B, T, H, V) and the memory.
    """
    length = q.shape[1]
    q, k, v, log_decay, memory = one_type(q, k, v, log_decay, memory)
    q, k, v, log_decay = (_chunks(part) for part in (q, k, v, log_decay))  # (B, n, H, C, ...)
    fallen = log_decay.clamp_min(SLOWEST_LOG_DECAY).cumsum(3)  # sum over the chunk so far
    if fallen.ndim == 4:
        scores, read, write = _per_head(q, k, fallen)
        kept = fallen[..., -1, None, None].exp()  # (B, n, H, 1, 1)
    else:
        scores, read, write = _per_channel(q, k, fallen)
        kept = fallen[..., -1, :, None].exp()  # (B, n, H, K, 1)
    written = write.transpose(-1, -2) @ v  # (B, n, H, K, V)
    after = linear_scan(kept, written, memory)
    before = torch.cat([memory[:, None], after[:, :-1]], 1)
    out = lower_product(scores, v) + read @ before  # (B, n, H, C, V)
    return out.transpose(2, 3).flatten(1, 2)[:, :length], after[:, -1]


def _chunks(x: Tensor) -> Tensor:
    """(B, T, H, ...) as (B, n, H, C, ...); the padding writes nothing and forgets nothing."""
    missing = -x.shape[1] % CHUNK
    if missing:
        x = pad(x, (0, 0) * (x.ndim - 2) + (0, missing))
    return x.unflatten(1, (-1, CHUNK)).transpose(2, 3)


def _per_head(q: Tensor, k: Tensor, fallen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    between = (fallen[..., :, None] - fallen[..., None, :]).clamp_max(0.0)  # (B, n, H, C, C)
    scores = (q @ k.transpose(-1, -2)) * between.exp()
    left = fallen[..., -1:] - fallen
    return scores, q * fallen.exp()[..., None], k * left.exp()[..., None]


def _per_channel(q: Tensor, k: Tensor, fallen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # split exp(b_i - b_j) in two factors; the constant centres them in the range of a float,
    # and unlike a centre taken from the data it lets no position feel a later one
    centre = math.exp(-SLOWEST_LOG_DECAY * CHUNK / 2)
    decayed = q * fallen.exp()
    grown = k * ((-fallen).exp() / centre)
    scores = (decayed * centre) @ grown.transpose(-1, -2)
    left = fallen[..., -1:, :] - fallen
    return scores, decayed, k * left.exp()
