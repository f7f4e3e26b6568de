"""A selective mixer trained on one core of a CPU, some rows of the batch at a time.

What one step hands to the next then lies in the processor's own memory rather than the machine's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.convolutions import short_convolution_loops as convolution
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms import gated_skip_loops as gating
from archsearch.kernels.projections.projection_cpu import AVAILABLE, product
from archsearch.kernels.scans.selective import selective_chunks as scan
from archsearch.kernels.scans.selective import selective_slopes as slopes_of
from archsearch.kernels.scans.selective.rows_at_once import add_last, blocks, listed
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer as accelerated_mixer
from archsearch.kernels.trained import SINGLE, arrays, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]
OWN = 13  # tensors that are saved before those of the blocks
NO_NORM = np.zeros(1, np.float32)


def selective_mixer(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.selective.selective_mixer.selective_mixer`."""
    width = inputs[-2].shape[0]
    if not AVAILABLE or width % WIDTH or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    return _Mixer.apply(*inputs)  # type: ignore[no-any-return]


class _Mixer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
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
        recent, taps, bias, skip = (part.contiguous() for part in (recent, taps, bias, skip))
        up, rate, left = up.t().contiguous(), _in_lanes(rate), _in_lanes(memory)
        (batch, steps, _), past = x.shape, recent.shape[1]
        u, y = (x.new_empty(batch, steps, len(skip)) for _ in range(2))
        kept = x.new_empty(batch, -(-steps // scan.CHUNK), *rate.shape)
        known = _Known(recent, taps, up, bias, rate, skip)
        us, ys, lefts, memories = arrays(u, y, left, kept)
        answers, saved, seen = [], [], []
        for rows in blocks(x):
            both = product(x[rows], project, None)
            ways = known.ways(both)
            convolution.forward(ways.before, known.recent[rows], known.taps, us[rows], ways.places)
            parts = product(u[rows], select, None)
            weights = known.up, known.bias, known.rate
            scan.forward(us[rows], parts.numpy(), *weights, lefts[rows], ys[rows], memories[rows])
            gated = u.new_empty(u[rows].shape)
            inputs = ys[rows], us[rows].ravel(), known.skip, ways.gate, known.unnormed
            gating.forward(*inputs, gated.numpy(), *ways.layout)
            answers.append(product(gated, output, None))
            seen.append(both[:, max(0, steps - past) :, : len(skip)])
            saved += [both, parts]
        own = (x, recent, project, taps, select, up, bias, rate, skip, output)
        ctx.save_for_backward(*own, u, y, kept, *saved)
        ctx.set_materialize_grads(False)
        last = torch.cat([recent, torch.cat(seen)], 1)
        return torch.cat(answers), _in_channels(left), last[:, last.shape[1] - past :]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor, ...]:
        x, recent, *weights, u, y, kept = ctx.saved_tensors[:OWN]
        saved = iter(ctx.saved_tensors[OWN:])
        project, taps, select, up, bias, rate, skip, output = weights
        dy, dleft, dseen = slopes
        dy = torch.zeros_like(x) if dy is None else dy
        found = [torch.zeros_like(part) for part in weights]
        dproject, dtaps, dselect, dup, dbias, drate, dskip, doutput = found
        dmemory = rate.new_zeros(len(x), *rate.shape) if dleft is None else _in_lanes(dleft)
        drecent = torch.empty_like(recent)
        known = _Known(recent, taps, up, bias, rate, skip)
        us, ys, memories, dmemories, drecents = arrays(u, y, kept, dmemory, drecent)
        sums = arrays(dup, dbias, drate)
        dskips, dtaps_ = arrays(dskip, dtaps)
        dx = []
        for rows in blocks(x):
            both, parts = next(saved), next(saved)
            ways, slope = known.ways(both), dy[rows]
            gated, du, dgate, dscanned, dbefore = u.new_empty(5, *u[rows].shape)
            inputs: tuple[Any, ...] = ys[rows], us[rows].ravel(), known.skip
            inputs += ways.gate, known.unnormed
            gating.forward(*inputs, gated.numpy(), *ways.layout)
            doutput.addmm_(listed(slope).t(), listed(gated))
            dgated = product(slope, output.t(), None)
            slopes_, du_ = dscanned.numpy(), du.numpy()
            made = slopes_, du_, dskips, dgate.numpy(), known.unnormed
            gating.backward(dgated.numpy(), *inputs, *made, *ways.layout)
            dparts = torch.empty_like(parts)
            inputs = us[rows], parts.numpy(), known.up, known.bias, known.rate, memories[rows]
            slopes_of.backward(slopes_, *inputs, dmemories[rows], du_, dparts.numpy(), *sums)
            listed(du).addmm_(listed(dparts), select)
            dselect.addmm_(listed(dparts).t(), listed(u[rows]))
            inputs = du_, ways.before, known.recent[rows], known.taps
            convolution.backward(*inputs, dbefore.numpy(), drecents[rows], dtaps_, ways.places)
            if dseen is not None:
                add_last(dseen[rows], dbefore, drecent[rows])
            dboth = torch.cat([dbefore, dgate], -1)
            dproject.addmm_(listed(dboth).t(), listed(x[rows]))
            if ctx.needs_input_grad[0]:
                dx.append(product(dboth, project.t(), None))
        found[3], found[5] = dup.t(), _in_channels(drate)
        return torch.cat(dx) if dx else None, drecent, _in_channels(dmemory), *found  # type: ignore[return-value]


class _Known:
    """The weights as arrays, and where the two halves of a projection lie."""

    def __init__(self, *weights: Tensor) -> None:
        self.recent, self.taps, self.up, self.bias, self.rate, self.skip = arrays(*weights)
        self.unnormed = self.skip[:0]

    def ways(self, both: Tensor) -> _Ways:
        rows, steps, width = both.shape
        size, memory = width // 2, both.numpy().ravel()
        return _Ways(
            memory,
            memory[size:],
            np.array([rows, steps, size, steps * width, width, 1]),
            (np.array([size, width]), NO_NORM),
        )


class _Ways(NamedTuple):
    before: Any
    gate: Any
    places: Any
    layout: tuple[Any, Any]


def _in_lanes(x: Tensor) -> Tensor:
    """A copy of (..., E, N) as (..., E / 16, N, 16)."""
    turned = x.unflatten(-2, (-1, WIDTH)).transpose(-1, -2)
    return turned.clone(memory_format=torch.contiguous_format)


def _in_channels(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).flatten(-3, -2)
