"""A memory that sums products of Taylor features of keys with values, some of them twice.

The inner product of two vectors' features is 1 + x . y + (x . y)^2 / 2, the second order of
exp(x . y) (Arora et al. 2024, arXiv 2402.18668).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.pair_products import pair_products

SMALLEST_SUM = 1e-6


def quotient(found: Tensor) -> Tensor:
    """What is read (..., V) of the sums [S, z]' f(q) (..., V + 1)."""
    return found[..., :-1] / found[..., -1:].clamp_min(SMALLEST_SUM)


def taylor_attention_reference(
    mixed: Tensor, own: Tensor, twice: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`taylor_attention` is compared with."""
    q, k, v, first, second = parted(mixed, own, memory)
    q, k, first = (pair_products(part * part.shape[-1] ** -0.25) for part in (q, k, first))
    v, second = pad(v, (0, 1), value=1.0), pad(second, (0, 1), value=1.0)
    outputs = []
    for t in range(q.shape[1]):
        memory = memory + k[:, t, :, :, None] * v[:, t, :, None]
        if t < first.shape[1]:
            written = first[:, t, :, :, None] * second[:, t, :, None]
            memory = memory + (t < twice)[:, None, None, None] * written
        outputs.append(quotient((q[:, t, :, :, None] * memory).sum(-2)))
    return torch.stack(outputs, 1), memory


@accelerated(cpu="archsearch.kernels.memories.taylor.taylor_cpu:taylor_attention")
def taylor_attention(
    mixed: Tensor, own: Tensor, twice: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """S_t' f(q_t) / (z_t . f(q_t)) at every position, and the memory [S, z] that is left.

    S_t and z_t sum f(k_j) v_j' and f(k_j) over j <= t, and once more f(k'_j) v'_j' and f(k'_j)
    over j <= t among the first ``twice`` (B,) positions of each row; f are the features of queries
    and keys over the fourth root of their size. ``mixed`` has all heads' queries, then their keys
    and their values (B, T, H (2 N + V)), ``own`` the k' and v' (B, R, H (N + V)) with R <= T,
    ``memory`` is (B, H, F, V + 1). Returns (B, T, H, V) and the memory.
    """
    q, k, v, first, second = parted(mixed, own, memory)
    q, k, first = (pair_products(part * part.shape[-1] ** -0.25) for part in (q, k, first))
    v, second = pad(v, (0, 1), value=1.0), pad(second, (0, 1), value=1.0)
    within = torch.arange(first.shape[1], device=q.device) < twice[:, None]
    found, memory = summed_twice(q, k, v, first * within[..., None, None], second, memory)
    return quotient(found), memory


def parted(mixed: Tensor, own: Tensor, memory: Tensor) -> list[Tensor]:
    """Queries, keys and values, and the keys and values of what is written twice, by heads."""
    heads, values = memory.shape[1], memory.shape[3] - 1
    size = own.shape[-1] - heads * values
    parts = (
        *mixed.split([size, size, heads * values], -1),
        *own.split([size, heads * values], -1),
    )
    return [part.unflatten(-1, (heads, -1)) for part in parts]


def summed_twice(
    q: Tensor, k: Tensor, v: Tensor, first: Tensor, second: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What a memory answers that sums k v' and, of its first positions, first second' too."""
    reach = first.shape[1]
    kept = q.new_zeros(1, q.shape[1], q.shape[2])
    found, after = linear_attention(
        q[:, :reach], k[:, :reach], v[:, :reach], kept[:, :reach], memory
    )
    nothing = torch.zeros_like(memory)
    again, more = linear_attention(q[:, :reach], first, second, kept[:, :reach], nothing)
    found, memory = found + again, after + more
    if reach < q.shape[1]:
        rest = (part[:, reach:] for part in (q, k, v, kept))
        later, memory = linear_attention(*rest, memory)
        found = torch.cat([found, later], 1)
    return found, memory
