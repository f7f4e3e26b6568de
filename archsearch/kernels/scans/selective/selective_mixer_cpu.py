"""A selective mixer trained on one core of a CPU, some rows of the batch at a time.

What one step hands to the next then lies in the processor's own memory rather than the machine's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.projections.projection_cpu import AVAILABLE, product
from archsearch.kernels.scans.selective import selective_chunks as scan
from archsearch.kernels.scans.selective import selective_convolution as convolution
from archsearch.kernels.scans.selective import selective_slopes as slopes_of
from archsearch.kernels.scans.selective.rows_at_once import add_last, blocks, listed
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer as accelerated_mixer
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]
SIZES = "btw bpe ben fw qe se er e en e we"
OWN = 13  # tensors that are saved before those of the blocks


def selective_mixer(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.selective.selective_mixer.selective_mixer`."""
    fits = AVAILABLE and inputs[-2].shape[0] % WIDTH == 0
    if not fits or not trained(inputs, SINGLE) or not fit(SIZES, *inputs):
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
        befores, taps_, *known = arrays(recent, taps, up, bias, rate, skip)
        us, ys, lefts, memories = arrays(u, y, left, kept)
        answers, saved, seen = [], [], []
        for rows in blocks(x):
            both = product(x[rows], project, None)
            convolution.forward(both.numpy(), befores[rows], taps_, us[rows])
            parts = product(u[rows], select, None)
            gated = u.new_empty(u[rows].shape)
            inputs = us[rows], parts.numpy(), both.numpy(), *known
            scan.forward(*inputs, lefts[rows], ys[rows], gated.numpy(), memories[rows])
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
        # read once: where a checkpoint made them anew, they are not there twice
        tensors = ctx.saved_tensors
        (x, recent, *weights, u, y, kept), saved = tensors[:OWN], iter(tensors[OWN:])
        project, taps, select, up, bias, rate, skip, output = weights
        dy, dleft, dseen = slopes
        dy = torch.zeros_like(x) if dy is None else dy
        found = [torch.zeros_like(part) for part in weights]
        dproject, dtaps, dselect, dup, dbias, drate, dskip, doutput = found
        dmemory = rate.new_zeros(len(x), *rate.shape) if dleft is None else _in_lanes(dleft)
        drecent = torch.empty_like(recent)
        befores, taps_, *known = arrays(recent, taps, up, bias, rate, skip)
        us, ys, memories, dmemories, drecents = arrays(u, y, kept, dmemory, drecent)
        sums, dtaps_ = arrays(dup, dbias, drate, dskip), dtaps.numpy()
        dx = []
        for rows in blocks(x):
            both, parts = next(saved), next(saved)
            slope = dy[rows]
            # what the gate let through takes the place of its slope
            gated = product(slope, output.t(), None)
            du = u.new_empty(u[rows].shape)
            dboth, dparts = torch.empty_like(both), torch.empty_like(parts)
            inputs: tuple[Any, ...] = us[rows], parts.numpy(), both.numpy(), ys[rows], *known
            inputs += memories[rows], dmemories[rows]
            made = dboth.numpy(), du.numpy(), dparts.numpy()
            slopes_of.backward(gated.numpy(), *inputs, *made, *sums)
            doutput.addmm_(listed(slope).t(), listed(gated))
            listed(du).addmm_(listed(dparts), select)
            dselect.addmm_(listed(dparts).t(), listed(u[rows]))
            inputs = du.numpy(), both.numpy(), befores[rows], taps_, dboth.numpy()
            convolution.backward(*inputs, drecents[rows], dtaps_)
            if dseen is not None:
                add_last(dseen[rows], dboth[..., : len(skip)], drecent[rows])
            dproject.addmm_(listed(dboth).t(), listed(x[rows]))
            if ctx.needs_input_grad[0]:
                dx.append(product(dboth, project.t(), None))
        found[3], found[5] = dup.t(), _in_channels(drate)
        return torch.cat(dx) if dx else None, drecent, _in_channels(dmemory), *found  # type: ignore[return-value]


def _in_lanes(x: Tensor) -> Tensor:
    """A copy of (..., E, N) as (..., E / 16, N, 16)."""
    turned = x.unflatten(-2, (-1, WIDTH)).transpose(-1, -2)
    return turned.clone(memory_format=torch.contiguous_format)


def _in_channels(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).flatten(-3, -2)
