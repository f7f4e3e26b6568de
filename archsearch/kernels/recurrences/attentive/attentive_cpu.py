"""Recurrent steps that attend to their last outputs, trained on one core in two loops.

What attention says enters the core's gates through one matrix, the product of its output map and
the core's input map; heads are filled up with zeros to whole lanes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.projections.projection import projection
from archsearch.kernels.recurrences.attentive import attentive_cores
from archsearch.kernels.recurrences.attentive.attentive import Maps, State
from archsearch.kernels.recurrences.attentive.attentive_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

CODES = {
    "gru": attentive_cores.GRU,
    "lstm": attentive_cores.LSTM,
    "rnn": attentive_cores.RNN,
}
GATES = {"gru": 3, "lstm": 4, "rnn": 1}
STATES = {"gru": 1, "lstm": 2, "rnn": 1}
WIDEST = 512  # up to which the loops were seen to be quicker
MOST = 2**27  # numbers kept of all steps


def attentive(
    x: Tensor,
    state: State,
    maps: Maps,
    core: str,
    repeated: Callable[[Tensor, State], tuple[Tensor, State]],
) -> tuple[Tensor, State]:
    """See :func:`archsearch.kernels.recurrences.attentive.attentive.attentive`.

    Torch does a single step and what is only evaluated, recorded, in another precision, of a width
    that is not whole lanes, wide, or too much to keep.
    """
    own, past, last = state
    given = [x, past, last, *own, *(part for part in maps if part is not None)]
    if not trained(given, SINGLE) or not _fits(given, core):
        return repeated(x, state)
    batch, steps, width = x.shape
    heads, window = maps.added.shape
    size, room = width // heads, window + -window % WIDTH
    filled = heads * (size + -size % WIDTH)
    kept = batch * steps * (8 * width + 4 * filled + heads * room)
    if steps == 1 or width % WIDTH or width > WIDEST or kept > MOST:
        return repeated(x, state)

    def filled_up(part: Tensor, dim: int) -> Tensor:
        """Zeros after the numbers of each head."""
        if filled == width:
            return part
        apart = part.movedim(dim, -1).unflatten(-1, (-1, size))
        return pad(apart, (0, -size % WIDTH)).flatten(-2).movedim(-1, dim)

    weights = torch.cat([maps.drive, filled_up(maps.query, 0)])
    bias = pad(maps.bias, (0, filled))
    # steps first, so that each of them lies in one piece
    driven = projection(x.transpose(0, 1), weights, bias)
    into = filled_up(maps.drive @ maps.output, 1).t()
    matrix = torch.cat([maps.recurrent, filled_up(maps.seen, 0)]).t()
    inner = maps.bias.new_zeros(width) if maps.inner is None else maps.inner
    h, c = own if core == "lstm" else (own[0], torch.zeros_like(own[0]))
    added = pad(maps.added, (0, room - window))
    kind = x.new_tensor([CODES[core], size**-0.5, window])
    inputs = driven, h, c, filled_up(past, 2), filled_up(last, 1), into, matrix, inner, added
    y, h, c, pairs, last = _Steps.apply(*inputs, kind)
    if filled != width:
        pairs, last = (
            part.unflatten(-1, (-1, filled // heads))[..., :size].flatten(-2)
            for part in (pairs, last)
        )
    return y.transpose(0, 1), ((h, c) if core == "lstm" else (h,), pairs, last)


def _fits(given: list[Tensor], core: str) -> bool:
    of_state, of_core = " bw" * STATES[core], " w" * (core == "gru")
    if not fit(f"btw bsp bw{of_state} gw g gw{of_core} ww nw ww hm", *given):
        return False
    x, past, *_, seen, _, added = given
    width, drive = x.shape[2], given[3 + STATES[core]]
    known = len(drive) == GATES[core] * width and len(seen) == 3 * width
    return known and past.shape[2] == 2 * width and width % len(added) == 0


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        given: Tensor,
        h0: Tensor,
        c0: Tensor,
        past: Tensor,
        last: Tensor,
        into: Tensor,
        matrix: Tensor,
        inner: Tensor,
        added: Tensor,
        kind: Tensor,
    ) -> tuple[Tensor, ...]:
        (steps, batch, _), width, (filled, gates) = given.shape, len(inner), into.shape
        h, c = (part.clone(memory_format=torch.contiguous_format) for part in (h0, c0))
        kv = given.new_empty(batch, past.shape[1] + steps, 2 * filled)
        kv[:, : past.shape[1]] = past
        made = given.new_empty(batch, matrix.shape[1])
        made[:, :gates], made[:, gates : gates + filled] = h0 @ matrix[:, :gates], last
        y = given.new_empty(steps, batch, width)
        kept = given.new_empty(steps, batch, attentive_cores.KEPT[int(kind[0])] * width)
        queries, heard = (given.new_empty(steps, batch, filled) for _ in range(2))
        weights = given.new_empty(steps, batch, added.numel())
        forward(
            *arrays(given, kv, into, matrix, inner, added, kind, h, c, made),
            *arrays(y, kept, queries, heard, weights),
        )
        ctx.save_for_backward(
            h0, c0, into, matrix, added, kind, y, kv, kept, queries, heard, weights
        )
        ctx.past = past.shape[1]
        remembered = kv[:, max(kv.shape[1] - int(kind[2]), 0) :].clone()
        return y, h, c, remembered, made[:, gates : gates + filled].clone()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor, dlast_kv: Tensor, dlast: Tensor
    ) -> tuple[Tensor | None, ...]:
        h0, c0, into, matrix, added, kind, y, kv, *kept = ctx.saved_tensors
        (steps, batch, width), (filled, gates) = y.shape, into.shape
        dh, dc = (part.clone(memory_format=torch.contiguous_format) for part in (dh, dc))
        dkv, dmade = torch.zeros_like(kv), y.new_zeros(batch, matrix.shape[1])
        dkv[:, kv.shape[1] - dlast_kv.shape[1] :] = dlast_kv
        dmade[:, gates : gates + filled] = dlast
        dgiven = y.new_empty(steps, batch, gates + filled)
        dinto, dmatrix = into.new_zeros(into.shape), matrix.new_zeros(matrix.shape)
        dadded = y.new_zeros(batch, *added.shape)
        lstm = int(kind[0]) == attentive_cores.LSTM
        states = kept[0][..., 4 * width : 5 * width] if lstm else y
        before = torch.cat([(c0 if lstm else h0)[None], states[:-1]])
        backward(
            *arrays(dy, y, before, kv, into.t(), matrix.t(), kind, *kept),
            *arrays(dh, dc, dmade, dkv, dgiven, dinto, dmatrix, dadded),
        )
        dasked = dmade[:, :gates]
        dmatrix[:, :gates] += h0.t() @ dasked
        dh += dasked @ matrix[:, :gates].t()
        dinner = _of_candidate(kind, kept[0], dgiven, width)
        dpast = dkv[:, : ctx.past]
        dlast = dmade[:, gates : gates + filled]
        return dgiven, dh, dc, dpast, dlast, dinto, dmatrix, dinner, dadded.sum(0), None


def _of_candidate(kind: Tensor, kept: Tensor, dgiven: Tensor, width: int) -> Tensor | None:
    """The slope of b', which the reset gate lets through."""
    if int(kind[0]) != attentive_cores.GRU:
        return None
    return (dgiven[..., 2 * width : 3 * width] * kept[..., :width]).sum((0, 1))
