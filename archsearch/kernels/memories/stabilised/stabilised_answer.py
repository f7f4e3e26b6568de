"""The end of a cell with a stabilised memory: a norm per head, a direct path and a gate."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import layer_norm, silu

from archsearch.kernels.choose import accelerated

EPSILON = 1e-5


@accelerated(cpu="archsearch.kernels.memories.stabilised.stabilised_answer_cpu:gated_answer")
def gated_answer(h: Tensor, scale: Tensor, direct: Tensor, skip: Tensor, gate: Tensor) -> Tensor:
    """(layernorm(h) scale + skip direct) silu(gate), the norm over the last dimension of ``h``.

    ``h`` is (..., H, S), ``scale`` (H, S), ``direct`` and ``gate`` (..., H S), ``skip`` (H S,).
    Returns (..., H S).
    """
    normed = (layer_norm(h, h.shape[-1:], eps=EPSILON) * scale).flatten(-2)
    return (normed + skip * direct) * silu(gate)
