"""The loss of a network whose looped stages are trained on what every loop would answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.depth.loops import Exits
from archsearch.spec.signature import Signature
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
    return any(hasattr(stage, "exits") for stage in getattr(model, "stages", ()))


def mean_loss(model: nn.Module, batch: Tensors, signature: Signature) -> Tensor:
    """The mean loss over all ways through the stages, and what they cost; a scalar.

    Every way goes on through the rest of the network, so that two stages with R and S loops have
    R S of them. With a target per step each step has its shares; with one per sequence they are the
    means over its steps. The objective of a head is weighed by the mean share of a way.
    """
    ways = _through(model, batch.inputs, batch.lengths)
    many = len(ways.h)
    h = model.norm(ways.h.flatten(0, 1))
    said = model.head(h, batch.lengths.repeat(many)).unflatten(0, (many, -1))
    real = _real(ways.cost, batch.lengths)
    shares, targets = ways.shares, batch.targets
    if not signature.every_step:
        shares = (shares * real).sum(-1) / real.sum(-1)  # (ways, batch)
    elif batch.mask is not None:
        said, shares, targets = said[:, batch.mask], shares[:, batch.mask], targets[batch.mask]
    objective = getattr(model.head, "objective", None)
    if objective is not None:
        parts = zip(shares.flatten(1).mean(1), said, strict=True)
        loss = sum((share * objective(way, targets) for share, way in parts), said.new_zeros(()))
    else:
        loss = (shares * _each(said, targets, signature)).sum(0).mean()
    return loss + (ways.cost * real).sum() / real.sum()


def _each(said: Tensor, targets: Tensor, signature: Signature) -> Tensor:
    """The loss of each prediction (ways, .., outputs), (ways, ..)."""
    many = targets.expand(len(said), *targets.shape)
    if signature.targets == "class":
        return functional.cross_entropy(said.movedim(-1, 1), many, reduction="none")
    return (said - many).square().mean(-1)


def _through(model: nn.Module, x: Tensor, lengths: Tensor) -> _Ways:
    if model.causal:
        return _whole(model, x)
    parts = []
    for length in torch.unique(lengths).tolist():
        rows = torch.nonzero(lengths == length).squeeze(1)
        parts.append((rows, length, _whole(model, x[rows, :length])))
    like = parts[0][2]
    many, width = like.h.shape[0], like.h.shape[-1]
    h = like.h.new_zeros(many, *x.shape[:2], width)
    shares, cost = like.shares.new_zeros(many, *x.shape[:2]), like.cost.new_zeros(x.shape[:2])
    for rows, length, ways in parts:
        h[:, rows, :length] = ways.h
        shares[:, rows, :length] = ways.shares
        cost[rows, :length] = ways.cost
    return _Ways(h, shares, cost)


def _whole(model: nn.Module, x: Tensor) -> _Ways:
    h = model.embed(x)[None]  # (ways, batch, time, width)
    shares = h.new_ones(h.shape[:-1])
    cost = h.new_zeros(h.shape[1:-1])
    for stage in model.stages:
        many, rows = h.shape[:2]
        if hasattr(stage, "exits"):
            found: Exits = stage.exits(h.flatten(0, 1))
            outputs = found.outputs.unflatten(1, (many, rows))
            cost = cost + (shares * found.cost.unflatten(0, (many, rows))).sum(0)
            h = outputs.flatten(0, 1)
            shares = (found.shares.unflatten(1, (many, rows)) * shares).flatten(0, 1)
        else:
            y, spent = stage(h.flatten(0, 1))
            h = y.unflatten(0, (many, rows))
            cost = cost + (shares * spent.cost.unflatten(0, (many, rows))).sum(0)
    return _Ways(h, shares, cost)


def _real(like: Tensor, lengths: Tensor) -> Tensor:
    """(batch, time) of ones where there is a step, zeros beyond the lengths."""
    steps = torch.arange(like.shape[1], device=like.device)
    return (steps < lengths[:, None]).to(like.dtype)
