"""A whole selective state space mixer (Mamba): projections, convolution, scan and gate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from archsearch.kernels.choose import accelerated
from archsearch.kernels.convolutions.short_convolution import short_convolution
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.projections.projection import projection
from archsearch.kernels.scans.selective.selective_scan import selective_scan


@accelerated(cpu="archsearch.kernels.scans.selective.selective_mixer_cpu:selective_mixer")
def selective_mixer(
    x: Tensor,
    recent: Tensor,
    memory: Tensor,
    project: Tensor,
    taps: Tensor,
    select: Tensor,
    up: Tensor,
    bias: Tensor,
    rate: Tensor,
    skip: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers (B, T, W) to ``x`` (B, T, W), the memory that is left and the inputs last convolved.

    ``recent`` is (B, taps - 1, E), ``memory`` and ``rate`` are (B, E, N) and (E, N), ``project``
    (2 E, W), ``taps`` (taps, E), ``select`` (R + 2 N, E) with ``up`` (E, R) and ``bias`` (E,)
    making step sizes of its first part, ``skip`` (E,), ``output`` (W, E) (Gu, Dao 2023, arXiv
    2312.00752, algorithm 2).
    """
    past, size = recent.shape[1], memory.shape[2]
    before, gate = projection(x, project, None).chunk(2, -1)
    u = short_convolution(before, recent, taps, True)
    low, write, read = projection(u, select, None).split([up.shape[1], size, size], -1)
    step = projection(low, up, bias)
    step = softplus(step.to(torch.promote_types(step.dtype, torch.float32)))
    # errors of a memory multiply from step to step, so autocast has no say in it
    with torch.autocast(x.device.type, enabled=False):
        found, left = selective_scan(
            step, *(part.to(step.dtype) for part in (u, write, read, rate, memory))
        )
    seen = torch.cat([recent, before], 1)
    answer = projection(gated_skip(found, u, skip, gate).to(gate.dtype), output, None)
    return answer, left, seen[:, seen.shape[1] - past :]
