"""A whole mLSTM cell: projections, convolution, gates, a stabilised memory, norm and gate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from archsearch.kernels.choose import accelerated
from archsearch.kernels.convolutions.short_convolution import short_convolution
from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer
from archsearch.kernels.memories.stabilised.stabilised_attention import stabilised_attention
from archsearch.kernels.memories.stabilised.stabilised_inputs import memory_inputs
from archsearch.kernels.projections.projection import projection


@accelerated(
    cpu="archsearch.kernels.memories.stabilised.mixer.stabilised_mixer_cpu:stabilised_mixer"
)
def stabilised_mixer(
    x: Tensor,
    held: Tensor,
    size: Tensor,
    recent: Tensor,
    project: Tensor,
    taps: Tensor,
    blocks: Tensor,
    gates: Tensor,
    bias: Tensor,
    scale: Tensor,
    skip: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Answers (B, T, W) to ``x`` (B, T, W), the memory and m that are left and the inputs last
    convolved.

    ``held`` (B, H, S, S + 1) and ``size`` (B, H) are a memory as in
    :mod:`archsearch.kernels.memories.stabilised.stabilised_attention`, ``recent`` is
    (B, taps - 1, E), ``project`` (2 E, W), ``taps`` (taps, E), ``blocks`` (3, E / n, n, n),
    ``gates`` (2 H, 3 E) with ``bias`` (2 H,), ``scale`` (H, S), ``skip`` (E,), ``output`` (W, E)
    (Beck et al. 2024, arXiv 2405.04517, figure 10).
    """
    heads, past = scale.shape[0], recent.shape[1]
    u, z = projection(x, project, None).chunk(2, -1)
    c = short_convolution(u, recent, taps, True)
    *parts, opened = memory_inputs(c, u, blocks, gates, bias, scale.shape[1] ** -0.5)
    # half precision rounds slow forgetting to none
    gate, forget = opened.to(torch.promote_types(opened.dtype, torch.float32)).chunk(2, -1)
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in parts)
    h, (held, size) = stabilised_attention(q, k, v, gate, logsigmoid(forget), (held, size))
    seen = torch.cat([recent, u[:, max(0, u.shape[1] - past) :]], 1)
    answer = projection(gated_answer(h, scale, c, skip, z).to(z.dtype), output, None)
    return answer, held, size, seen[:, seen.shape[1] - past :]
