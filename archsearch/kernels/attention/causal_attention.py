"""Softmax attention over all positions so far, from a projection to the answers of its heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from archsearch.kernels.attention.stretch_attention import all_before, stretch_attention
from archsearch.kernels.choose import accelerated

STRETCH = 128  # queries


@accelerated(cpu="archsearch.kernels.attention.causal_attention_cpu:causal_attention")
def causal_attention(
    projected: Tensor, turns: Tensor | None, added: Tensor | None, heads: int, key_heads: int
) -> tuple[Tensor, Tensor]:
    """o_i = sum_{j <= i} softmax_j(q_i'k_j / sqrt(d) + added_{i-j}) v_j, and the keys as compared.

    ``projected`` (B, T, (H + 2 K) d) holds queries of ``heads`` H, then keys and values of
    ``key_heads`` K, each of which H / K heads share in turn. Queries and keys are rotated by
    ``turns`` (T, d / 2), complex numbers of size one. ``added`` is (H, T). Returns (B, T, H d) and
    (B, T, K d).
    """
    size = projected.shape[-1] // (heads + 2 * key_heads)
    parts = projected.unflatten(-1, (-1, size))  # (B, T, H + 2 K, d)
    both, v = parts.split([heads + key_heads, key_heads], -2)
    both = both if turns is None else rotated(both, turns)
    q, k = both.split([heads, key_heads], -2)
    compared = k.flatten(-2)
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    k, v = (part.repeat_interleave(heads // key_heads, 1) for part in (k, v))
    if added is None:
        o = scaled_dot_product_attention(q, k, v, is_causal=True)
    else:
        # no bias for all pairs at once
        rows, look = (part.flatten(0, 1) for part in (q, k, v)), all_before(q.device)
        o = stretch_attention(*rows, added.repeat(len(q), 1), False, STRETCH, look).view(q.shape)
    return o.transpose(1, 2).flatten(-2), compared


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    """Feature pairs (2j, 2j + 1) of ``x`` (..., T, H, d) times ``turns`` (..., T, d / 2)."""
    half = x.dtype in (torch.bfloat16, torch.float16)
    # under autocast torch does it by itself, and leaves it in single precision
    if half and not torch.is_autocast_enabled(x.device.type):
        return rotated(x.float(), turns).to(x.dtype)
    planes = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(planes * turns.unsqueeze(-2)).flatten(-2)
