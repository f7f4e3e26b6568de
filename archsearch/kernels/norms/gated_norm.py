"""The norm of each head's answer, often under a gate, which ends cells with a matrix memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from archsearch.kernels.choose import accelerated

EPSILON = 1e-5


@accelerated(cpu="archsearch.kernels.norms.gated_norm_cpu:gated_norm")
def gated_norm(
    x: Tensor, weight: Tensor | None, gate: Tensor | None, epsilon: float = EPSILON
) -> Tensor:
    """rms(x) weight silu(gate), with the root mean square over the last dimension of ``x``.

    ``x`` is (..., H, S), ``weight`` (S,), ``gate`` (..., H S); without either it counts as one.
    Returns (..., H S).
    """
    if weight is not None:
        weight = weight.to(torch.promote_types(weight.dtype, x.dtype))
    normed = rms_norm(x, x.shape[-1:], weight, epsilon).flatten(-2)
    return normed if gate is None else normed * silu(gate)
