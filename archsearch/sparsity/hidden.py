"""Hidden units of a model: what lies between two linear maps, each apart from the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.blocks.channels.channels import GLU, MLP


@dataclass(frozen=True)
class Hidden:
    """Units that the linear map ``into`` feeds and that ``out`` alone reads.

    The rows of ``into`` are those of ``parts`` maps below one another; ``combine`` makes the units
    (.., units) of what it gives, each of its own ``parts`` numbers. ``place`` is the name of the
    module, ``names`` are those of the two maps.
    """

    place: str
    names: tuple[str, str]
    into: nn.Linear
    out: nn.Linear
    parts: int
    combine: Callable[[Tensor], Tensor]

    @property
    def units(self) -> int:
        return self.out.in_features

    @torch.no_grad()
    def constants(self) -> Tensor:
        """What each unit is where its inputs count for nothing, (units,)."""
        return self.combine(self.into.bias)

    @torch.no_grad()
    def silent(self) -> Tensor:
        """Which units are constant, because nothing reaches them, (units,)."""
        rows = self.into.weight.view(self.parts, self.units, -1)
        deaf = ~rows.any(-1)  # (parts, units)
        if self.parts == 1:
            return deaf[0]
        # a product is zero where either side is, whatever the other one says
        fixed = self.into.bias.view(self.parts, self.units)
        return deaf.all(0) | (deaf[0] & (fixed[0] == 0))

    @torch.no_grad()
    def unread(self) -> Tensor:
        """Which units nothing reads, (units,)."""
        return ~self.out.weight.any(0)


def hidden(model: nn.Module) -> Iterator[Hidden]:
    """All hidden units of a model that can be told apart.

    They are those of the channel mixers ``mlp`` and ``glu`` and of a linear map, an activation and
    a linear map in sequence. An activation with numbers of its own may join its units and is left
    out, as are maps that have another form in each loop.
    """
    loops = [f"{name}." for name, part in model.named_modules() if hasattr(part, "differences")]
    for place, module in model.named_modules():
        if not place.startswith(tuple(loops)):
            yield from _of(module, place)


def _of(module: nn.Module, place: str) -> Iterator[Hidden]:
    if isinstance(module, MLP | GLU):
        activation, parts = module.activation, 2 if isinstance(module, GLU) else 1
        triples = [("into", module.into, activation, "out", module.out)]
    elif isinstance(module, nn.Sequential):
        parts, named = 1, list(module.named_children())
        triples = [
            (first, into, activation, last, out)
            for (first, into), (_, activation), (last, out) in zip(
                named, named[1:], named[2:], strict=False
            )
            if isinstance(activation, nn.GELU)
        ]
    else:
        return
    for first, into, activation, last, out in triples:
        if type(into) is type(out) is nn.Linear and _apart(activation):
            combine = activation if parts == 1 else _gated(activation)
            yield Hidden(place, (f"{place}.{first}", f"{place}.{last}"), into, out, parts, combine)


def _apart(activation: object) -> bool:
    if not isinstance(activation, nn.Module):
        return True
    return not activation.state_dict()


def _gated(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def combine(both: Tensor) -> Tensor:
        value, gate = both.chunk(2, dim=-1)
        return value * activation(gate)

    return combine
