"""A matrix memory whose factors may be negative, S_t = diag(a_t) S_{t-1} + k_t v_t'.

The product of the signs so far is one sign per key channel. Put on queries and keys it leaves a
memory with positive factors, so the chunks of linear attention serve.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY, linear_attention
from archsearch.kernels.one_type import one_type

SMALLEST = math.exp(SLOWEST_LOG_DECAY)


def floored(factor: Tensor) -> Tensor:
    """The factor that is used: no smaller in size than exp(-5), and of the same sign."""
    return torch.where(factor < 0, factor.clamp_max(-SMALLEST), factor.clamp_min(SMALLEST))


def signed_attention_reference(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`signed_attention` is compared with."""
    factor = floored(factor if factor.ndim == q.ndim else factor[..., None])
    outputs = []
    for t in range(q.shape[1]):
        read, memory = attend_once(q[:, t], k[:, t], v[:, t], factor[:, t], memory)
        outputs.append(read)
    return torch.stack(outputs, 1), memory


def attend_once(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position: q, k (B, H, K), v (B, H, V), factor (B, H, K or 1), memory (B, H, K, V)."""
    q, k, v, factor, memory = one_type(q, k, v, factor, memory)
    memory = factor[..., None] * memory + k[..., None] * v[..., None, :]
    return torch.einsum("bhk,bhkv->bhv", q, memory), memory


@accelerated(
    cpu="archsearch.kernels.memories.memory_cpu:signed_attention",
    cuda="archsearch.kernels.memories.memory_triton:signed_attention",
)
def signed_attention(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What the memory answers at every position, and the memory that is left.

    As :func:`archsearch.kernels.memories.linear_attention.linear_attention`, with ``factor`` in
    [-1, 1], (B, T, H, K) or (B, T, H), in place of the logarithm of a decay.
    """
    signs = _signs(factor).cumprod(1)
    log_decay = factor.abs().clamp_min(SMALLEST).log()
    turned = signs if factor.ndim == q.ndim else signs[..., None]  # (B, T, H, K or 1)
    out, memory = linear_attention(q * turned, k * turned, v, log_decay, memory)
    return out, turned[:, -1, ..., None] * memory


def _signs(factor: Tensor) -> Tensor:
    return torch.where(factor < 0, -1.0, 1.0).to(factor.dtype)
