"""Matrix memories trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.memories import delta_rule as deltas
from archsearch.kernels.memories import gated_delta as gated
from archsearch.kernels.memories import linear_attention as attention
from archsearch.kernels.memories import signed_attention as signed
from archsearch.kernels.memories.long_keys_cpu import overwritten
from archsearch.kernels.memories.memory_shapes import overwriting_fits, read_fits
from archsearch.kernels.memories.tile_cpu import MOST_KEYS, TiledMemory, of_logarithm, of_size
from archsearch.kernels.trained import trained

# numbers in a memory, beyond which products of matrices are the better
LARGEST = 128 * 128
NATIVE = (torch.float32, torch.float64)


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.linear_attention.linear_attention`."""
    inputs = (q, k, v, log_decay, memory)
    if not _near(inputs) or not read_fits(*inputs):
        return attention.linear_attention.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return TiledMemory.apply(q, k, v, _spread(log_decay, q), None, memory, of_logarithm)  # type: ignore[no-any-return]


def signed_attention(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.signed_attention.signed_attention`."""
    inputs = (q, k, v, factor, memory)
    if not _near(inputs) or not read_fits(*inputs):
        return signed.signed_attention.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return TiledMemory.apply(q, k, v, _spread(factor, q), None, memory, of_size)  # type: ignore[no-any-return]


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.delta_rule.delta_rule`."""
    inputs = (q, k, v, beta, memory)
    if not _near(inputs) or not overwriting_fits(*inputs):
        return deltas.delta_rule.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    if k.shape[3] > MOST_KEYS:
        return overwritten(q, k, v, q.new_ones(1, 1, memory.shape[1]), beta, memory)
    return TiledMemory.apply(q, k, v, None, beta, memory, of_logarithm)  # type: ignore[no-any-return]


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.gated_delta.gated_delta`."""
    inputs = (q, k, v, beta, log_decay, memory)
    if not _near(inputs) or not overwriting_fits(*inputs):
        return gated.gated_delta.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    if k.shape[3] > MOST_KEYS:
        decay = log_decay.clamp_min(attention.SLOWEST_LOG_DECAY).exp()
        return overwritten(q, k, v, decay, beta, memory)
    return TiledMemory.apply(q, k, v, _spread(log_decay, q), beta, memory, of_logarithm)  # type: ignore[no-any-return]


def _near(inputs: tuple[Tensor, ...]) -> bool:
    """Whether gradients are wanted of a memory that is not too large for a loop."""
    memory = inputs[-1]
    return memory.shape[-2] * memory.shape[-1] <= LARGEST and trained(inputs, NATIVE)


def _spread(decay: Tensor, q: Tensor) -> Tensor:
    return decay if decay.ndim == q.ndim else decay[..., None]
