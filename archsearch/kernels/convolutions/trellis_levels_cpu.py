"""The levels of a TrellisNet trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.convolutions.trellis_levels import trellis_levels as accelerated_levels
from archsearch.kernels.convolutions.trellis_levels_loops import backward, forward
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_levels.plain  # type: ignore[attr-defined]
Levels = Sequence[tuple[Tensor, Tensor]]


def trellis_levels(
    x: Tensor,
    past: Tensor,
    levels: Levels,
    inject: Tensor,
    hidden: Tensor,
    bias: Tensor,
    dilations: Sequence[int],
) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]]:
    """See :func:`archsearch.kernels.convolutions.trellis_levels.trellis_levels`.

    Torch does what is only evaluated, recorded, in another precision, of a single level, or of a
    width that is not whole lanes.
    """
    weights = inject, hidden, bias
    given = [x, past, *(part for pair in levels for part in pair), *weights]
    whole = x.shape[-1] % WIDTH == 0 and levels
    if not whole or not trained(given, SINGLE) or not _fits(given, dilations):
        return plain(x, past, levels, *weights, dilations)  # type: ignore[no-any-return]
    reach = past.shape[1]
    hs, cs = (
        torch.stack([pad(part, (0, 0, reach - part.shape[1], 0)) for part in parts])
        for parts in zip(*levels, strict=True)
    )
    shifts = list(dict.fromkeys(dilations))
    plan = x.new_tensor([dilations, [shifts.index(dilation) for dilation in dilations]])
    seen = torch.cat([past, x], 1)
    y, hs, cs = _Levels.apply(seen, hs, cs, *weights, plan, x.new_tensor(shifts))
    ends = [reach - dilation for dilation in dilations[1:]]
    return y, tuple((h[:, end:], c[:, end:]) for h, c, end in zip(hs, cs, ends, strict=True))


def _fits(given: Sequence[Tensor], dilations: Sequence[int]) -> bool:
    x, past, *states, inject, hidden, bias = given
    if not fit("btw bpw zwg zwg g", x, past, inject, hidden, bias):
        return False
    batch, _, width = x.shape
    before = [(batch, dilation, width) for dilation in dilations[1:] for _ in range(2)]
    known = [part.shape for part in states] == before and past.shape[1] >= max(dilations)
    return known and len(inject) == 2 and len(bias) == 4 * width


class _Levels(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        seen: Tensor,
        h0: Tensor,
        c0: Tensor,
        inject: Tensor,
        hidden: Tensor,
        bias: Tensor,
        plan: Tensor,
        shifts: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        (batch, reach, width), steps = h0.shape[1:], seen.shape[1] - h0.shape[2]
        levels = len(h0) + 1
        hs = seen.new_empty(levels - 1, batch, reach + steps, width)
        cs = seen.new_empty(levels, batch, reach + steps, width)
        hs[:, :, :reach], cs[:-1, :, :reach] = h0, c0
        kept = seen.new_empty(levels, batch, steps, 4 * width)
        y = seen.new_empty(batch, steps, width)
        forward(*arrays(seen, inject, hidden, bias, plan, shifts, hs, cs, kept, y))
        ctx.save_for_backward(seen, inject, hidden, plan, shifts, hs, cs, kept)
        return y, hs[:, :, steps:].clone(), cs[:-1, :, steps:].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor | None, ...]:
        seen, inject, hidden, *known = ctx.saved_tensors
        dh, dc = (part.clone(memory_format=torch.contiguous_format) for part in (dh, dc))
        dseen = torch.zeros_like(seen)
        dinject, dhidden = inject.new_zeros(inject.shape), hidden.new_zeros(hidden.shape)
        dbias = seen.new_zeros(inject.shape[2])
        backward(
            *arrays(dy, seen, inject.mT, hidden.mT, *known),
            *arrays(dh, dc, dseen, dinject, dhidden, dbias),
        )
        return dseen, dh, dc, dinject, dhidden, dbias, None, None
