"""One head of gated values whose weights are squared rectifiers, from a projection to its answers.

Hua et al. 2022, arXiv 2202.10447, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from archsearch.kernels.attention.weighed_attention import weighed_attention
from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.attention.squared_attention_cpu:squared_attention")
def squared_attention(
    projected: Tensor, scale: Tensor, shift: Tensor, added: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """u_i sum_{j <= i} relu(q_i'k_j / (i + 1) + added_{i-j})^2 v_j, the keys and the values.

    ``projected`` (B, T, 2 V + Z) is u, v and z before each goes through silu. q and k are z times
    the two rows of ``scale`` (2, Z), with those of ``shift`` added. ``added`` is (D,), those beyond
    the last distance sharing the last. Returns (B, T, V), (B, T, Z) and (B, T, V).
    """
    size = scale.shape[1]
    values = (projected.shape[2] - size) // 2
    u, v, z = silu(projected).split([values, values, size], -1)
    q, k = z * scale[0] + shift[0], z * scale[1] + shift[1]
    there = torch.ones_like(k[..., 0], dtype=torch.bool)
    return u * weighed_attention(q, k, v, added, there, "relu2", None), k, v
