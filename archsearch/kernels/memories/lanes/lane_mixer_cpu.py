"""A whole cell with memories in lanes trained on one core of a CPU, one loop forward, one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.lanes import lane_mixer_slopes
from archsearch.kernels.memories.lanes.lane_cpu import LARGEST, MOST
from archsearch.kernels.memories.lanes.lane_mixer import lane_mixer as accelerated_mixer
from archsearch.kernels.memories.lanes.lane_mixer_loops import forward
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]


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
    """See :func:`archsearch.kernels.memories.lanes.lane_mixer.lane_mixer`."""
    inputs = (x, recent, memory, project, conv, gates, bias, scale, opened, output)
    size = memory.shape[-1]
    small = size % WIDTH == 0 and size**2 <= LARGEST and len(conv) <= WIDTH
    if not small or not trained(inputs, SINGLE) or not _fits(*inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    return _Mixer.apply(*inputs)  # type: ignore[no-any-return]


def _fits(x: Tensor, recent: Tensor, memory: Tensor, *weights: Tensor) -> bool:
    if not fit("btw bpm bhjkk mw qm gw g k ww ww", x, recent, memory, *weights):
        return False
    _, heads, lanes, size, _ = memory.shape
    project, conv, gates = weights[:3]
    each, more = divmod(len(gates), heads)
    least = 3 * lanes + 1
    known = not more and each in (least, least + lanes**2) and lanes <= MOST
    known = known and len(conv) == recent.shape[1] + 1
    return known and len(project) == 3 * x.shape[2] == 3 * heads * size


class _Mixer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
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
        x, (rows, steps, width), past = x.contiguous(), x.shape, recent.shape[1]
        _, heads, lanes, size, _ = memory.shape
        more = -len(gates) % WIDTH
        inward = torch.cat([project, opened, pad(gates, (0, 0, 0, more))])
        chunks = -(-steps // CHUNK)
        seen = x.new_empty(rows, past + CHUNK * chunks, len(inward) + width)
        kept = x.new_empty(rows, chunks + 1, heads, lanes, size, size)
        numbers = x.new_tensor([size**-0.5, EPSILON])
        sizes = np.array([heads, size, lanes, len(gates) // heads])
        y, left = torch.empty_like(x), memory.clone(memory_format=torch.contiguous_format)
        given = (x, recent, left, _down(inward), pad(bias, (0, more)), conv, scale, _down(output))
        forward(*arrays(*given, y, seen, kept, numbers), sizes)
        ctx.save_for_backward(x, seen, kept, inward, conv, scale, output, numbers)
        ctx.sizes, ctx.gates = sizes, len(gates)
        return y, seen[:, steps : steps + past, : 3 * width].clone(), left

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        x, seen, kept, inward, conv, scale, output, numbers = ctx.saved_tensors
        width, gates = x.shape[2], ctx.gates
        dx, drecent = torch.empty_like(x), torch.empty(dlast.shape, dtype=x.dtype)
        dmemory = dleft.clone(memory_format=torch.contiguous_format)
        dinward, dbias = torch.zeros_like(inward), x.new_zeros(len(inward) - 4 * width)
        dconv, dscale = x.new_zeros(conv.shape), x.new_zeros(scale.shape)
        doutput = x.new_zeros(output.shape)
        known = (dy, dlast, x, seen, kept, _across(inward), conv, scale, _across(output))
        found = (dx, drecent, dmemory, dinward, dbias, dconv, dscale, doutput)
        lane_mixer_slopes.backward(*arrays(*known, *found, numbers), ctx.sizes)
        dproject, dopened, dgates = dinward.split([3 * width, width, len(dbias)])
        return (
            *(dx, drecent, dmemory, dproject, dconv, dgates[:gates], dbias[:gates]),
            *(dscale, dopened, doutput),
        )


def _down(weight: Tensor) -> Tensor:
    """A weight (O, I) in stripes of outputs (O / WIDTH, I, WIDTH)."""
    return weight.unflatten(0, (-1, WIDTH)).transpose(1, 2)


def _across(weight: Tensor) -> Tensor:
    """A weight (O, I) in stripes of inputs (I / WIDTH, O, WIDTH)."""
    return weight.unflatten(1, (-1, WIDTH)).transpose(0, 1)
