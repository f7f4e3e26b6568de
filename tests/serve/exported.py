"""A small model with weights of its own, written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archsearch.build import build
from archsearch.plugins import built_in, load_catalog
from archsearch.serve import standalone
from archsearch.serve.bundle import Bundle, write_bundle
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog, CellType, real
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature

VALUES = Signature("values", 3, "class", 4, every_step=False, length=9)
TOKENS = Signature("tokens", 11, "class", 5, every_step=True, length=9)
REGRESSION = Signature("values", 2, "value", 1, every_step=False, length=9)
TASK = TaskSpec("power", Layer.of("classification", data="ucr:ItalyPowerDemand"))
FACTS = {"accuracy": 0.9375, "seeds": [1, 2], "interval": [0.9, 0.95]}
PREPARATION = {"channels": ["a", "b", "c"], "mean": [0.1, 1e-300, -2.5], "classes": ["ü", "no"]}


class Leaky(nn.Module):
    """A moving average that forgets: the cell of a plugin."""

    def __init__(self, width: int, decay: float = 0.5) -> None:
        super().__init__()
        self.decay = decay
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        state = self.initial_state(len(x)) if state is None else state
        steps = []
        for x_t in x.unbind(1):
            y_t, state = self.step(x_t, state)
            steps.append(y_t)
        return torch.stack(steps, 1), state

    def initial_state(self, batch: int) -> tuple[Tensor]:
        return (self.mix.weight.new_zeros(batch, self.mix.in_features),)

    def step(self, x_t: Tensor, state: tuple[Tensor]) -> tuple[Tensor, tuple[Tensor]]:
        average = self.decay * state[0] + (1 - self.decay) * x_t
        return self.mix(average), (average,)


class NoMeta(Leaky):
    """A cell whose constructor reads a tensor, which the meta device refuses."""

    def __init__(self, width: int, decay: float = 0.5) -> None:
        super().__init__(width, decay)
        self.largest = float(self.mix.weight.detach().abs().max())


LEAKY = CellType("leaky", Leaky, {"decay": real(0.5, 0.0, 1.0)}, distribution="archsearch-leaky")


def plugin_catalog() -> Catalog:
    return Catalog([*built_in(), LEAKY])


def network(cell: Layer | str = "gru", width: int = 6, **slots: Any) -> Architecture:
    layer = Layer(cell) if isinstance(cell, str) else cell
    block = Block(layer, channel=Layer.of("glu", expand=1.0))
    return Architecture(width, (Stage((block,), loops=2),), **slots)


def compare_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models written out are compared on the first seven steps of what they would be."""
    samples = standalone._samples
    monkeypatch.setattr(standalone, "_samples", lambda given: (x[:, :7] for x in samples(given)))


def random_state(model: nn.Module, seed: int = 5) -> dict[str, Tensor]:
    """The initial state moved a little, so that no weight has its first value."""
    draw = torch.Generator().manual_seed(seed)
    return {
        name: value + 0.1 * torch.randn(value.shape, generator=draw)
        if value.is_floating_point()
        else value
        for name, value in model.state_dict().items()
    }


def export(
    path: Path,
    architecture: Architecture | None = None,
    signature: Signature = VALUES,
    catalog: Catalog | None = None,
    **given: Any,
) -> Bundle:
    catalog = catalog or load_catalog()
    complete = catalog.complete_architecture(architecture or network())
    state: Mapping[str, Tensor] = random_state(build(complete, catalog, signature, seed=1))
    return write_bundle(
        path, state, complete, signature, PREPARATION, FACTS, catalog, task=TASK, **given
    )
