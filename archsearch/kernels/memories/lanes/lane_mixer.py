"""A whole cell with memories in lanes: convolution, gates, memories, norm and linear maps."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.convolutions.short_convolution import short_convolution
from archsearch.kernels.memories.lanes.gated_lanes import gated_lanes
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projection import projection


@accelerated(cpu="archsearch.kernels.memories.lanes.lane_mixer_cpu:lane_mixer")
def lane_mixer(
    x: Tensor,
    recent: Tensor,
    memory: Tensor,
    project: Tensor,
    conv: Tensor,
    gates: Tensor,
    bias: Tensor,
    scale: Tensor,
    opened: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """W_o (rms(o) scale silu(W_g x)) of the answers o to silu(conv(W x)), with both states left.

    ``x`` is (B, T, W), ``recent`` (B, taps - 1, 3 W), ``memory`` (B, H, J, K, K), ``project``
    (3 W, W), ``conv`` (taps, 3 W), the lanes' ``gates`` (H P, W) and ``bias`` as in
    :func:`archsearch.kernels.memories.lanes.gated_lanes.gated`, ``scale`` (K,), ``opened`` and
    ``output`` (W, W). Returns (B, T, W), and what follows ``recent`` and ``memory``.
    """
    mixed, past = projection(x, project, None), recent.shape[1]
    found = short_convolution(mixed, recent, conv, True), projection(x, gates, bias)
    with torch.autocast(x.device.type, enabled=False):
        # errors of memories multiply from step to step rather than add up
        kind = torch.promote_types(found[0].dtype, torch.float32)
        read, memory = gated_lanes(*(part.to(kind) for part in found), memory.to(kind))
    gate = projection(x, opened, None)
    y = projection(gated_norm(read, scale, gate).to(gate.dtype), output, None)
    recent = torch.cat([recent, mixed[:, max(mixed.shape[1] - past, 0) :]], 1)
    return y, recent[:, recent.shape[1] - past :], memory
