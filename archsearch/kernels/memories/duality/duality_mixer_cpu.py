"""A whole Mamba-2 cell trained on one core of a CPU, a loop forward, one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.duality.duality_mixer import duality_mixer as accelerated_mixer
from archsearch.kernels.memories.duality.duality_mixer_loops import forward
from archsearch.kernels.memories.duality.duality_mixer_slopes import backward
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]
# numbers of a memory that stay near
LARGEST = 1 << 15
SIZES = "btw bhns bpm fw qm h h e e we"


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
    """See :func:`.duality_mixer.duality_mixer`."""
    inputs = (x, memory, recent, project, taps, bias, rate, skip, weight, output)
    fits = all(size % WIDTH == 0 for size in (x.shape[-1], *memory.shape[2:]))
    fits = fits and memory[0].numel() <= LARGEST and len(taps) <= WIDTH
    if not fits or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    if not fit(SIZES, *inputs) or not _made(*inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    project = pad(project, (0, 0, 0, -len(bias) % WIDTH))
    return _Mixer.apply(x, memory, recent, project, *inputs[4:])  # type: ignore[no-any-return]


def _made(*inputs: Tensor) -> bool:
    """Whether the projection makes as much as is read of it."""
    _, memory, recent, project, taps, *_, skip, _, _ = inputs
    (_, heads, keys, size), inner, mixed = memory.shape, len(skip), taps.shape[1]
    past = len(taps) == recent.shape[1] + 1
    made = mixed == inner + 2 * keys and len(project) == inner + mixed + heads
    return past and made and inner == heads * size


class _Mixer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, memory: Tensor, recent: Tensor, project: Tensor, *known: Tensor
    ) -> tuple[Tensor, ...]:
        x, (rows, steps, _), past = x.contiguous(), x.shape, recent.shape[1]
        *others, skip, weight, output = known
        (apart, _), chunks, inner = project.shape, -(-steps // WIDTH), len(skip)
        y, both = torch.empty_like(x), x.new_empty(rows, past + chunks * WIDTH, apart)
        answers = x.new_empty(rows, chunks * WIDTH, inner)
        states = x.new_empty(rows, chunks + 1, memory.shape[2], inner)
        _by_head(states[:, 0], memory.shape).copy_(memory)
        weights = project.t(), *others, skip, weight, output.t()
        kept = (both, answers, states)
        forward(*arrays(x, recent, *weights), _epsilon(), *arrays(y, *kept))
        ctx.save_for_backward(x, *kept, project, *known)
        ctx.past, ctx.shape = past, memory.shape
        ctx.set_materialize_grads(False)
        seen = both[:, steps : steps + past, inner : inner + others[0].shape[1]]
        left = _by_head(states[:, -1], memory.shape)
        return y, left.clone(memory_format=torch.contiguous_format), seen.clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor | None, dleft: Tensor | None, dlast: Tensor | None
    ) -> tuple[Tensor, ...]:
        x, *kept = ctx.saved_tensors
        known = kept[3:]
        rows, heads, keys, size = ctx.shape
        dx, dstates = torch.empty_like(x), x.new_zeros(rows, keys, heads * size)
        if dleft is not None:
            _by_head(dstates, ctx.shape).copy_(dleft)
        past, mixed = ctx.past, known[1].shape[1]
        dlast = x.new_zeros(rows, past, mixed) if dlast is None else dlast
        drecent = x.new_empty(rows, past, mixed)
        slopes = [torch.zeros_like(part, memory_format=torch.contiguous_format) for part in known]
        dy = torch.zeros_like(x) if dy is None else dy
        given = arrays(dy, dlast, x, *kept)
        backward(*given, _epsilon(), *arrays(dx, dstates, drecent, *slopes))
        return dx, _by_head(dstates, ctx.shape), drecent, *slopes


def _epsilon() -> Any:
    return np.array([EPSILON], np.float32)


def _by_head(states: Tensor, shape: torch.Size) -> Tensor:
    """(B, N, H S) as (B, H, N, S) on the same memory."""
    return states.unflatten(-1, (shape[1], shape[3])).transpose(1, 2)
