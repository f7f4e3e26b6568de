"""Linear attention over f(x) = elu(x) + 1, from a projection to the answers of its heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import elu, pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.linear_attention import linear_attention

SMALLEST_SUM = 1e-6


@accelerated(cpu="archsearch.kernels.memories.positive.positive_cpu:positive_attention")
def positive_attention(projected: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """f(q_t)' S_t / (f(q_t) . z_t + 1e-6) at every position, and the memory [S, z] that is left.

    S_t and z_t sum f(k_j) v_j' and f(k_j) over j <= t (Katharopoulos et al. 2020, arXiv 2006.16236,
    equations 9 to 12). ``projected`` (B, T, 3 H d) has queries, keys and values of all heads,
    ``memory`` is (B, H, d, d + 1). Returns (B, T, H d) and the memory.
    """
    heads = memory.shape[1]
    q, k, v = projected.unflatten(-1, (3 * heads, -1)).chunk(3, -2)
    kept = torch.zeros_like(projected[:1, :, :heads])
    given = elu(q) + 1, elu(k) + 1, pad(v, (0, 1), value=1.0)
    read, memory = linear_attention(*given, kept, memory)
    return (read[..., :-1] / (read[..., -1:] + SMALLEST_SUM)).flatten(-2), memory
