"""The linear maps of a network whose first weights an init may draw.

Those are the maps of a cell that read the stream or write to it, by the names that cells give
them, and the two maps of a channel mixer of the family of mlp and glu. Recurrent matrices, decay
rates, gates, norms, embedding and head are as their layers drew them, and so is a mixer whose
activation prescribes its own beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.blocks.structure.block import Block

PROJECTIONS = frozenset({"input", "project", "value", "open", "output"})
SAMPLES = 4096
COLUMNS = 16


@dataclass(frozen=True)
class Mixer:
    """The maps of a channel mixer; a ``gated`` one multiplies the activation with as many units."""

    into: nn.Linear
    out: nn.Linear
    activation: Callable[[Tensor], Tensor]

    @property
    def gated(self) -> bool:
        return self.into.out_features == 2 * self.out.in_features

    @property
    def expand(self) -> float:
        """Hidden units per width."""
        return self.out.in_features / self.into.in_features

    def passed(self, variance: float = 1.0) -> float:
        """The mean square of what ``out`` reads, where every unit of ``into`` is normal."""
        units = self.out.in_features if isinstance(self.activation, nn.Module) else 1
        z = normal(units) * variance**0.5
        with torch.no_grad():
            square = float(self.activation(z.to(self.out.weight)).double().square().mean())
        return variance * square if self.gated else square

    @property
    def gain(self) -> float:
        """What times 1 / sqrt(inputs) is the deviation of ``out`` that gives a variance of 1."""
        return max(self.passed(), 1e-12) ** -0.5


def blocks(model: nn.Module) -> Iterator[Block]:
    return (part for part in model.modules() if isinstance(part, Block))


def projections(block: Block) -> Iterator[nn.Linear]:
    """The maps of the cell that may be drawn anew."""
    for name, part in block.cell.layer.named_modules():
        if type(part) is nn.Linear and name.rpartition(".")[2] in PROJECTIONS:
            yield part


def mixer(block: Block) -> Mixer | None:
    """The maps of the channel mixer, if it is one of two maps around an activation."""
    layer = None if block.channel is None else block.channel.layer
    into, out = getattr(layer, "into", None), getattr(layer, "out", None)
    activation = getattr(layer, "activation", None)
    if type(into) is not nn.Linear or type(out) is not nn.Linear or activation is None:
        return None
    if hasattr(activation, "prepare"):
        return None
    return Mixer(into, out, activation)


def normal(units: int) -> Tensor:
    """Normal numbers, (rows, units): every column has the same ones, in an order of its own."""
    rows = SAMPLES // min(units, COLUMNS)
    drawn = torch.special.ndtri((torch.arange(rows, dtype=torch.float64) + 0.5) / rows)
    orders = torch.Generator().manual_seed(0)
    columns = [drawn[torch.randperm(rows, generator=orders)] for _ in range(units)]
    return torch.stack(columns, -1)
