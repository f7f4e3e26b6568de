"""A norm whose negative numbers are made smaller by a share that is learned."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import prelu, rms_norm

from archsearch.kernels.choose import accelerated
from archsearch.kernels.norms.gated_norm import EPSILON


@accelerated(cpu="archsearch.kernels.norms.rectified_norm_cpu:rectified_norm")
def rectified_norm(x: Tensor, weight: Tensor, slope: Tensor) -> Tensor:
    """prelu(rms(x) weight), with the root mean square over the last dimension of ``x``.

    ``x`` is (..., S), ``weight`` (S,), ``slope`` of what is below zero (1,). Returns (..., S).
    """
    return prelu(rms_norm(x, x.shape[-1:], weight, EPSILON), slope)
