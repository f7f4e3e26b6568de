"""A smaller dense model that says the same: hidden units without an input or a reader are gone."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from archsearch.sparsity.hidden import Hidden, hidden

Sizes = Mapping[str, tuple[int, int]]


@torch.no_grad()
def compact(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Take idle hidden units out of a trained model, in place; returns the :func:`sizes` left.

    A unit that nothing reads goes; one that reads nothing is a constant, which goes to the bias of
    the map behind it. One unit stays where all could go. The answers are the same up to the
    rounding of a sum with fewer terms. Only the units of :mod:`archsearch.sparsity.hidden` are
    looked at: zero rows of recurrent and attention matrices stay where they are.
    """
    found: dict[str, tuple[int, int]] = {}
    for group in hidden(model):
        constant = group.silent()
        stay = ~(constant | group.unread())
        if stay.all():
            continue
        if not stay.any():
            stay[0] = True
        moved = torch.where(constant & ~stay, group.constants(), 0.0)
        group.out.bias += group.out.weight @ moved
        _cut(group.into, stay.repeat(group.parts), slice(None))
        _cut(group.out, slice(None), stay)
        found |= sizes(group)
    return found


def sizes(group: Hidden) -> dict[str, tuple[int, int]]:
    """Names of the two maps to their outputs and inputs."""
    into, out = group.into, group.out
    return {
        group.names[0]: (into.out_features, into.in_features),
        group.names[1]: (out.out_features, out.in_features),
    }


def check_sizes(model: nn.Module, asked: Sizes) -> None:
    """Raise ValueError where these are no sizes that :func:`compact` could leave of a model."""
    known = dict(asked)
    for group in hidden(model):
        whole, found = sizes(group), {n: known.pop(n) for n in group.names if n in known}
        if not found:
            continue
        units = found.get(group.names[1], (0, 0))[1]
        fitting = {
            group.names[0]: (group.parts * units, group.into.in_features),
            group.names[1]: (group.out.out_features, units),
        }
        if not 1 <= units <= whole[group.names[1]][1] or found != fitting:
            raise ValueError(f"{group.place}: sizes {found} do not fit {whole}")
    if known:
        raise ValueError(f"{next(iter(known))}: is no map of hidden units")


def resized(model: nn.Module, asked: Sizes) -> nn.Module:
    """The model with linear maps cut to (outputs, inputs), for weights that are loaded next."""
    for name, (outputs, inputs) in asked.items():
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        _cut(linear, slice(outputs), slice(inputs))
    return model


def _cut(linear: nn.Linear, outputs: Tensor | slice, inputs: Tensor | slice) -> None:
    def part(values: Tensor) -> nn.Parameter:
        return nn.Parameter(values.detach().clone(), requires_grad=linear.weight.requires_grad)

    linear.weight = part(linear.weight[outputs][:, inputs])
    if linear.bias is not None:
        linear.bias = part(linear.bias[outputs])
    linear.out_features, linear.in_features = linear.weight.shape
