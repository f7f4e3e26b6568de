"""A whole Mamba-2 cell: projections, convolution, step sizes, a memory, gate and norm."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from archsearch.kernels.choose import accelerated
from archsearch.kernels.convolutions.short_convolution import short_convolution
from archsearch.kernels.memories.signed_attention import signed_attention
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.projections.parts import parts


@accelerated(cpu="archsearch.kernels.memories.duality.duality_mixer_cpu:duality_mixer")
def duality_mixer(
    x: Tensor,
    memory: Tensor,
    recent: Tensor,
    project: Tensor,
    taps: Tensor,
    bias: Tensor,
    rate: Tensor,
    skip: Tensor,
    weight: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Answers (B, T, W) to ``x`` (B, T, W), the memory that is left and the inputs last convolved.

    ``memory`` is (B, H, N, E / H), ``recent`` (B, taps - 1, E + 2 N), ``project``
    (2 E + 2 N + H, W) makes a gate, what is written, keys and queries of all heads and step sizes,
    ``taps`` is (taps, E + 2 N), ``bias`` and ``rate`` > 0 are (H,), ``skip`` and ``weight`` (E,),
    ``output`` is (W, E) (Dao, Gu 2024, arXiv 2405.21060, section 7).
    """
    inner, heads, size = len(skip), len(bias), memory.shape[2]
    gate, mixed, step = parts(x, project, [inner, inner + 2 * size, heads])
    step = softplus(step.to(torch.promote_types(step.dtype, torch.float32)) + bias)
    made = short_convolution(mixed, recent, taps, True)
    u, write, read = made.split([inner, size, size], -1)
    added = step[..., None] * u.unflatten(-1, (heads, -1))
    factor = torch.exp(-step * rate)
    found, left = signed_attention(read[..., None, :], write[..., None, :], added, factor, memory)
    seen = torch.cat([recent, mixed], 1)
    answer = gated_skip(found.flatten(-2), u, skip, gate, weight).to(gate.dtype)
    (answer,) = parts(answer, output, [x.shape[-1]])
    return answer, left, seen[:, x.shape[1] :]
