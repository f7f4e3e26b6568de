"""A whole cell with a stabilised memory trained on one core of a CPU, a loop forward, one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import GROUP, WIDTH
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer import (
    stabilised_mixer as accelerated_mixer,
)
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer_loops import forward
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer_slopes import backward
from archsearch.kernels.memories.stabilised.stabilised_cpu import LARGEST
from archsearch.kernels.memories.stabilised.stabilised_inputs_cpu import combined
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]

SIZES = "btw bhsv bh bpe fw qe zmnn gi g hs e we"


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
    """See :func:`.stabilised_mixer.stabilised_mixer`."""
    inputs = (x, held, size, recent, project, taps, blocks, gates, bias, scale, skip, output)
    width, part = x.shape[-1], scale.shape[-1]
    whole = part % WIDTH == 0 and width % WIDTH == 0
    if not whole or part**2 > LARGEST or len(taps) > WIDTH or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    if not fit(SIZES, *inputs) or not _made(*inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    weights, mix = combined(blocks, gates, part**-0.5)
    filled = (0, -len(bias) % WIDTH)
    mix, bias = pad(mix, (0, 0, *filled)), pad(bias, filled)
    known = (project, taps, weights, mix, bias, scale, skip, output)
    return _Mixer.apply(x, held, size, recent, *known)  # type: ignore[no-any-return]


def _made(*inputs: Tensor) -> bool:
    """Whether the projections make as much as is read of them."""
    _, held, _, recent, project, taps, blocks, gates, bias, scale, skip, _ = inputs
    (heads, part), inner = scale.shape, len(skip)
    made = len(project) == 2 * inner and len(bias) == 2 * heads and gates.shape[1] == 3 * inner
    held_fits = inner == heads * part and held.shape[3] == part + 1
    past = len(taps) == recent.shape[1] + 1
    return made and held_fits and past and blocks.shape == (3, inner // GROUP, GROUP, GROUP)


class _Mixer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        held: Tensor,
        size: Tensor,
        recent: Tensor,
        project: Tensor,
        taps: Tensor,
        weights: Tensor,
        mix: Tensor,
        bias: Tensor,
        scale: Tensor,
        skip: Tensor,
        output: Tensor,
    ) -> tuple[Tensor, ...]:
        x, (rows, steps, _), past = x.contiguous(), x.shape, recent.shape[1]
        (heads, part), chunks, inner = scale.shape, -(-steps // WIDTH), len(skip)
        left, most = (_copied(state) for state in (held, size))
        y, both = torch.empty_like(x), x.new_empty(rows, past + chunks * WIDTH, 2 * inner)
        answers = x.new_empty(rows, chunks * WIDTH, inner)
        logits = x.new_empty(rows, chunks, len(bias), WIDTH)
        gates = x.new_empty(rows, chunks, heads, 4, WIDTH)
        scores = x.new_empty(rows, chunks, heads, WIDTH, WIDTH)
        before = x.new_empty(rows, chunks, heads, part * (part + 1))
        kept = (both, answers, logits, gates, scores, before)
        given = (x, recent, left, most, project.t(), taps, weights, mix.mT, bias, scale, skip)
        forward(*arrays(*given, output.t(), y, *kept), np.array([heads, part]))
        ctx.save_for_backward(x, *kept, project, taps, weights, mix, scale, skip, output)
        ctx.mark_non_differentiable(most)
        return y, left, most, both[:, steps : steps + past, :inner].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor, dleft: Tensor, _: Tensor, dlast: Tensor
    ) -> tuple[Tensor, ...]:
        x, *kept = ctx.saved_tensors
        known = kept[6:]
        mix, scale = known[3:5]
        dx, dheld = torch.empty_like(x), _copied(dleft)
        dsize, drecent = x.new_empty(dleft.shape[:2]), x.new_empty(dlast.shape)
        dproject, dtaps, dweights, dmix, dscale, dskip, doutput = (
            x.new_zeros(part.shape) for part in known
        )
        dbias = x.new_zeros(mix.shape[1])
        slopes = (dproject, dtaps, dweights, dmix, dbias, dscale, dskip, doutput)
        found = (dx, dheld, dsize, drecent, *slopes)
        backward(*arrays(dy, dlast, x, *kept, *found), np.array(scale.shape))
        return found


def _copied(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)
