"""What a stabilised memory is asked and told: queries, keys, values and gates of two streams."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from archsearch.kernels.choose import accelerated
from archsearch.kernels.recurrences.block_product import block_product


@accelerated(cpu="archsearch.kernels.memories.stabilised.stabilised_inputs_cpu:memory_inputs")
def memory_inputs(
    c: Tensor, u: Tensor, blocks: Tensor, weight: Tensor, bias: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries and keys of ``c``, values of ``u``, and gates linear in all three.

    ``c`` and ``u`` are (B, T, E), ``blocks`` (3, E / n, n, n) the diagonals of the three matrices,
    ``weight`` (G, 3 E) and ``bias`` (G,) the gates'. Returns queries, keys times ``scale``, which
    the gates do not see, and values (B, T, E), and the gates (B, T, G).
    """
    parts = [block_product(x, part) for x, part in zip((c, c, u), blocks, strict=True)]
    q, k, v = parts
    return q, k * scale, v, linear(torch.cat(parts, -1), weight, bias)
