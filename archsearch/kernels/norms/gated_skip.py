"""The end of selective cells: a direct path joins the answer, a gate opens, a norm may follow."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import rms_norm, silu

from archsearch.kernels.choose import accelerated
from archsearch.kernels.norms.gated_norm import EPSILON


@accelerated(cpu="archsearch.kernels.norms.gated_skip_cpu:gated_skip")
def gated_skip(
    x: Tensor, u: Tensor, skip: Tensor, gate: Tensor, weight: Tensor | None = None
) -> Tensor:
    """(x + skip u) silu(gate), and with a ``weight`` its rms norm times it.

    ``x``, ``u`` and ``gate`` are (..., E), ``skip`` and ``weight`` (E,). Returns (..., E).
    """
    y = (x + skip * u) * silu(gate)
    if weight is None:
        return y
    return rms_norm(y, y.shape[-1:], weight.to(torch.promote_types(weight.dtype, y.dtype)), EPSILON)
