"""Sequences at different loops in one batch: who is done leaves, and the next takes its place.

Every loop applies the same body, so sequences need not have come equally far to share a product
(Bae et al. 2024, arXiv 2410.20672, section 2.4: continuous depth-wise batching).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from archsearch.depth.loops import FixedDepth
from archsearch.depth.saturated import SaturatedDepth
from archsearch.depth.tie import Tie
from archsearch.errors import InputError


@dataclass(frozen=True)
class Answers:
    """Predictions in the order asked for, (outputs,) or (time, outputs) each.

    ``ticks`` is how often a looped body was applied to a batch, ``utilisation`` the mean share of
    the batch that was in use.
    """

    predictions: list[Tensor]
    ticks: int
    utilisation: float


@dataclass
class _Item:
    """A sequence on its way through a looped stage: x, first (time, width), running (time,)."""

    place: int
    x: Tensor
    first: Tensor
    running: Tensor
    loop: int = 0


@torch.inference_mode()
def answers(model: nn.Module, sequences: Sequence[Tensor], size: int) -> Answers:
    """What a model in evaluation says of sequences of any lengths, at most ``size`` at a time.

    Each is (time, channels), or (time,) of tokens, and is answered as if it were alone. Raises
    InputError for a network that looks ahead, and where a stage halts by its training.
    """
    if not model.causal or model.training or size < 1:
        raise InputError("expected a causal network in evaluation, and room for a sequence")
    streams = _together(model.embed, sequences, size)
    used: list[int] = []
    for stage in model.stages:
        if stage.loops > 1:
            streams = _looped(stage, streams, size, used)
        else:
            streams = _together(lambda x, stage=stage: stage(x)[0], streams, size)
    predictions = [model.head(model.norm(h[None]))[0] for h in streams]
    share = sum(used) / (len(used) * size) if used else 0.0
    return Answers(predictions, len(used), share)


def _together(
    apply: Callable[[Tensor], Tensor], parts: Sequence[Tensor], size: int
) -> list[Tensor]:
    """What a causal part makes of each sequence; padding behind one changes nothing in it."""
    found: list[Tensor] = []
    for begin in range(0, len(parts), size):
        some = parts[begin : begin + size]
        whole = apply(pad_sequence(list(some), batch_first=True))
        found += [y[: len(x)] for y, x in zip(whole, some, strict=True)]
    return found


def _looped(
    stage: FixedDepth, streams: Sequence[Tensor], size: int, used: list[int]
) -> list[Tensor]:
    if not isinstance(stage, FixedDepth):
        raise InputError(f"the loops of a {type(stage).__name__} are not counted by the sequence")
    waiting = deque(
        _Item(place, x, x, torch.ones_like(x[:, 0], dtype=torch.bool))
        for place, x in enumerate(streams)
    )
    active: list[_Item] = []
    done: dict[int, Tensor] = {}
    while waiting or active:
        while waiting and len(active) < size:
            active.append(waiting.popleft())
        used.append(len(active))
        for item, y in zip(active, _advanced(stage.tie, active), strict=True):
            before, item.x = item.x, torch.where(item.running[:, None], y, item.x)
            item.loop += 1
            if isinstance(stage, SaturatedDepth):
                item.running = item.running & stage.goes_on(before, item.x)
        for item in [item for item in active if item.loop == stage.loops or not item.running.any()]:
            done[item.place] = item.x
            active.remove(item)
    return [done[place] for place in range(len(streams))]


def _advanced(tie: nn.Module, items: Sequence[_Item]) -> list[Tensor]:
    """The next loop of each item; the body is applied once where all that differs is around it."""
    x = pad_sequence([item.x for item in items], batch_first=True)
    first = pad_sequence([item.first for item in items], batch_first=True)
    loops = torch.tensor([item.loop for item in items])
    groups = [(torch.nonzero(loops == n).squeeze(1), n) for n in loops.unique().tolist()]
    y = torch.empty_like(x)
    if isinstance(tie, Tie) and type(tie).forward is Tie.forward:
        for rows, loop in groups:
            y[rows] = tie.before(x[rows], tie.last(loop), first[rows])
        whole = tie.body(y)
        for rows, loop in groups:
            y[rows] = tie.after(whole[rows], tie.last(loop))
    else:
        for rows, loop in groups:
            y[rows] = tie(x[rows], loop, first[rows])
    return [part[: len(item.x)] for part, item in zip(y, items, strict=True)]
