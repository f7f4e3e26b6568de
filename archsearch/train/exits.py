"""The loss of a network that is also trained on what it would answer before it is through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.depth.loops import Exits
from archsearch.depth.positions import passes
from archsearch.spec.signature import Signature
from archsearch.train.supervision import supervision_of
from archsearch.train.tensors import Tensors


@dataclass(frozen=True)
class _Ways:
    """The stream after each way through the stages, and for how much it counts.

    ``h`` is (ways, batch, time, width); ``shares``, (ways, batch, time), sums to one over the ways;
    ``cost`` is (batch, time).
    """

    h: Tensor
    shares: Tensor
    cost: Tensor


def has_exits(model: nn.Module) -> bool:
    """Whether what is lowered in training is more than the loss of the answer."""
    if not model.training:
        return False
    looped = any(hasattr(stage, "exits") for stage in getattr(model, "stages", ()))
    return looped or supervision_of(model) is not None


def mean_loss(model: nn.Module, batch: Tensors, signature: Signature) -> Tensor:
    """The mean loss over all ways through the stages, and what they cost; a scalar.

    Every way goes on through the rest of the network, so that two stages with R and S loops have
    R S of them. With a target per step each step has its shares; with one per sequence they are the
    means over its steps. The objective of a head is weighed by the mean share of a way.

    Where exits are trained, so is what the norm and the head make of the stream after each position
    (:mod:`archsearch.depth.positions`).
    """
    supervision = supervision_of(model)
    stands = _through(model, batch.inputs, batch.lengths, all_ways=True)
    if supervision is None:
        del stands[:-1]
    losses = [_loss(model, ways, batch, signature) for ways in stands]
    loss = losses[-1] if supervision is None else supervision.total(losses)
    return loss + _penalty(stands[-1], batch.lengths)


def answers(model: nn.Module, x: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
    """What the network answers after each position, the last being its answer, and its penalty."""
    stands = _through(model, x, lengths, all_ways=False)
    said = [model.head(model.norm(stand.h[0]), lengths) for stand in stands]
    return said, _penalty(stands[-1], lengths)


def _penalty(ways: _Ways, lengths: Tensor) -> Tensor:
    real = _real(ways.cost, lengths)
    return (ways.cost * real).sum() / real.sum()


def _loss(model: nn.Module, ways: _Ways, batch: Tensors, signature: Signature) -> Tensor:
    """The mean over the ways of what norm and head make of them."""
    many = len(ways.h)
    h = model.norm(ways.h.flatten(0, 1))
    said = model.head(h, batch.lengths.repeat(many)).unflatten(0, (many, -1))
    shares, targets = ways.shares, batch.targets
    if not signature.every_step:
        real = _real(ways.cost, batch.lengths)
        shares = (shares * real).sum(-1) / real.sum(-1)  # (ways, batch)
    elif batch.mask is not None:
        said, shares, targets = said[:, batch.mask], shares[:, batch.mask], targets[batch.mask]
    objective = getattr(model.head, "objective", None)
    if objective is not None:
        parts = zip(shares.flatten(1).mean(1), said, strict=True)
        return sum((share * objective(way, targets) for share, way in parts), said.new_zeros(()))
    return (shares * _each(said, targets, signature)).sum(0).mean()


def _each(said: Tensor, targets: Tensor, signature: Signature) -> Tensor:
    """The loss of each prediction (ways, .., outputs), (ways, ..)."""
    many = targets.expand(len(said), *targets.shape)
    if signature.targets == "class":
        return functional.cross_entropy(said.movedim(-1, 1), many, reduction="none")
    return (said - many).square().mean(-1)


def _through(model: nn.Module, x: Tensor, lengths: Tensor, *, all_ways: bool) -> list[_Ways]:
    """After each position."""
    if not model.cuts:
        return _whole(model, x, all_ways, lengths)
    groups, total = [], int(lengths.sum())
    for length in torch.unique(lengths).tolist():
        rows = torch.nonzero(lengths == length).squeeze(1)
        with model.known(x, None, len(rows) * length / total):
            groups.append((rows, length, _whole(model, x[rows, :length], all_ways)))
    # where loops are drawn, groups may have more or fewer of them before their end
    least = min(len(stands) for _, _, stands in groups)
    return [
        _joined(x, [(rows, length, stands[place]) for rows, length, stands in groups])
        for place in range(-least, 0)
    ]


def _joined(x: Tensor, parts: Sequence[tuple[Tensor, int, _Ways]]) -> _Ways:
    """Groups of sequences as one batch, zero beyond their lengths."""
    like = parts[0][2]
    many, width = like.h.shape[0], like.h.shape[-1]
    h = like.h.new_zeros(many, *x.shape[:2], width)
    shares, cost = like.shares.new_zeros(many, *x.shape[:2]), like.cost.new_zeros(x.shape[:2])
    for rows, length, ways in parts:
        h[:, rows, :length] = ways.h
        shares[:, rows, :length] = ways.shares
        cost[rows, :length] = ways.cost
    return _Ways(h, shares, cost)


def _whole(
    model: nn.Module, x: Tensor, all_ways: bool, lengths: Tensor | None = None
) -> list[_Ways]:
    h = model.embed(x)[None]  # (ways, batch, time, width)
    stands = [_Ways(h, h.new_ones(h.shape[:-1]), h.new_zeros(h.shape[1:-1]))]
    for stage in model.stages:
        many = len(stands[-1].h)
        with model.known(x, None if lengths is None else lengths.repeat(many)):
            stands += _advanced(stage, stands[-1], all_ways)
    return stands[1:]


def _advanced(stage: nn.Module, before: _Ways, all_ways: bool) -> list[_Ways]:
    """After each position of a stage."""
    h, shares, cost = before.h, before.shares, before.cost
    many, rows = h.shape[:2]
    if all_ways and hasattr(stage, "exits"):
        found: Exits = stage.exits(h.flatten(0, 1))
        outputs = found.outputs.unflatten(1, (many, rows))
        cost = cost + (shares * found.cost.unflatten(0, (many, rows))).sum(0)
        shares = (found.shares.unflatten(1, (many, rows)) * shares).flatten(0, 1)
        return [_Ways(outputs.flatten(0, 1), shares, cost)]
    streams = passes(stage, h.flatten(0, 1))
    if streams is None:
        y, spent = stage(h.flatten(0, 1))
        cost = cost + (shares * spent.cost.unflatten(0, (many, rows))).sum(0)
        return [_Ways(y.unflatten(0, (many, rows)), shares, cost)]
    return [_Ways(y.unflatten(0, (many, rows)), shares, cost) for y in streams]


def _real(like: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time) of ones where there is a step, zeros beyond the lengths."""
    steps = torch.arange(like.shape[1], device=like.device)
    return (steps < lengths[:, None]).to(like.dtype)
