"""A selective mixer trained on one core of a CPU, some rows of the batch at a time.

What one step hands to the next then lies in the processor's own memory rather than the machine's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.projections.parts_cpu import back, filled, forth
from archsearch.kernels.projections.parts_loops import backward as multiply_back
from archsearch.kernels.projections.parts_loops import forward as multiply
from archsearch.kernels.scans.selective import selective_chunks as scan
from archsearch.kernels.scans.selective import selective_convolution as convolution
from archsearch.kernels.scans.selective import selective_slopes as slopes_of
from archsearch.kernels.scans.selective.rows_at_once import add_last, blocks, listed
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer as accelerated_mixer
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_mixer.plain  # type: ignore[attr-defined]
SIZES = "btw bpe ben fw qe se er e en e we"


def selective_mixer(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.selective.selective_mixer.selective_mixer`."""
    if inputs[-2].shape[0] % WIDTH or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    if not fit(SIZES, *inputs) or not _made(*inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    x, recent, memory, project, taps, select, *others, output = inputs
    width, more = x.shape[-1], (0, -x.shape[-1] % WIDTH)
    if more[1]:
        x, project, output = pad(x, more), pad(project, more), pad(output, (0, 0, *more))
    given = x, recent, memory, project, taps, filled(select), *others, output
    y, left, seen = _Mixer.apply(*given)
    return y[..., :width], left, seen


def _made(*inputs: Tensor) -> bool:
    """Whether the projections make as much as is read of them."""
    _, recent, _, project, taps, select, up, _, rate, skip, _ = inputs
    past = len(taps) == recent.shape[1] + 1
    made = len(select) == up.shape[1] + 2 * rate.shape[1]
    return past and made and len(project) == 2 * len(skip)


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
        x, recent, taps, bias, skip = (part.contiguous() for part in (x, recent, taps, bias, skip))
        up, rate, left = up.t().contiguous(), _in_lanes(rate), _in_lanes(memory)
        (batch, steps, _), past, inner = x.shape, recent.shape[1], len(skip)
        answer, u, y = torch.empty_like(x), *(x.new_empty(batch, steps, inner) for _ in range(2))
        both, parts = (x.new_empty(batch, steps, len(part)) for part in (project, select))
        kept = x.new_empty(batch, -(-steps // scan.CHUNK), *rate.shape)
        gated = torch.empty_like(u[blocks(x)[0]])
        befores, taps_, *known = arrays(recent, taps, up, bias, rate, skip)
        xs, boths, us, parts_, ys, lefts = arrays(x, both, u, parts, y, left)
        memories, answers, throughs = arrays(kept, answer, gated)
        inward, choice, outward = arrays(*map(forth, (project, select, output)))
        for rows in blocks(x):
            through = throughs[: len(us[rows])]
            multiply(_listed(xs[rows]), inward, _listed(boths[rows]))
            convolution.forward(boths[rows], befores[rows], taps_, us[rows])
            multiply(_listed(us[rows]), choice, _listed(parts_[rows]))
            inputs = us[rows], parts_[rows], boths[rows], *known
            scan.forward(*inputs, lefts[rows], ys[rows], through, memories[rows])
            multiply(_listed(through), outward, _listed(answers[rows]))
        own = (x, recent, project, taps, select, up, bias, rate, skip, output)
        ctx.save_for_backward(*own, u, y, kept, both, parts)
        ctx.set_materialize_grads(False)
        last = torch.cat([recent, both[:, max(0, steps - past) :, :inner]], 1)
        return answer, _in_channels(left), last[:, last.shape[1] - past :]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        x, recent, *weights, u, y, kept, both, parts = ctx.saved_tensors
        project, taps, select, up, bias, rate, skip, output = weights
        dy, dleft, dseen = slopes
        dy = torch.zeros_like(x) if dy is None else dy.contiguous()
        dproject, dtaps, dselect, dup, dbias, drate, dskip, doutput = (
            part.new_zeros(part.shape) for part in weights
        )
        dmemory = rate.new_zeros(len(x), *rate.shape) if dleft is None else _in_lanes(dleft)
        drecent = torch.empty_like(recent)
        dx = x.new_zeros(len(x) * ctx.needs_input_grad[0], *x.shape[1:])
        first = blocks(x)[0]
        gated, du, dboth = (torch.empty_like(part[first]) for part in (u, u, both))
        dparts = torch.zeros_like(parts[first])
        befores, taps_, *known = arrays(recent, taps, up, bias, rate, skip)
        dys, xs, us, parts_, boths, ys = arrays(dy, x, u, parts, both, y)
        memories, dmemories, drecents, dxs = arrays(kept, dmemory, drecent, dx)
        sums = arrays(dup, dbias, drate, dskip)
        dproject_, dtaps_, dselect_ = arrays(dproject, dtaps, dselect)
        inward, choice, outward = arrays(back(project), back(select), forth(output.t()))
        for rows in blocks(x):
            count = len(us[rows])
            slope, dus, dparts_, dboths = (
                part[:count] for part in arrays(gated, du, dparts, dboth)
            )
            # what the gate let through takes the place of its slope
            multiply(_listed(dys[rows]), outward, _listed(slope))
            inputs = us[rows], parts_[rows], boths[rows], ys[rows], *known
            inputs += memories[rows], dmemories[rows]
            slopes_of.backward(slope, *inputs, dboths, dus, dparts_, *sums)
            doutput.addmm_(listed(dy[rows]).t(), listed(gated[:count]))
            multiply_back(*map(_listed, (dparts_, us[rows])), choice, _listed(dus), dselect_)
            inputs = dus, boths[rows], befores[rows], taps_, dboths
            convolution.backward(*inputs, drecents[rows], dtaps_)
            if dseen is not None:
                add_last(dseen[rows], dboth[:count, :, : len(skip)], drecent[rows])
            multiply_back(*map(_listed, (dboths, xs[rows])), inward, _listed(dxs[rows]), dproject_)
        found = [dproject, dtaps, dselect, dup.t(), dbias, _in_channels(drate), dskip, doutput]
        slope_of_x = dx if ctx.needs_input_grad[0] else None
        return slope_of_x, drecent, _in_channels(dmemory), *found


def _listed(x: Any) -> Any:
    """All positions of all rows as the rows of one matrix."""
    return x.reshape(-1, x.shape[-1])


def _in_lanes(x: Tensor) -> Tensor:
    """A copy of (..., E, N) as (..., E / 16, N, 16)."""
    turned = x.unflatten(-2, (-1, WIDTH)).transpose(-1, -2)
    return turned.clone(memory_format=torch.contiguous_format)


def _in_channels(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).flatten(-3, -2)
