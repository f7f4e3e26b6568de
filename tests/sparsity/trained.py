"""A small real model, and a training of it that any sparsity can be put into."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.sparsity.masks import Masks
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SIGNATURE = Signature("values", 3, "class", 2, every_step=False, length=6)
STEPS = 12


def model(cell: str = "gru", loops: int = 1, sparsity: Layer = NONE) -> Model:
    blocks = (Block(Layer(cell), channel=Layer("mlp")), Block(Layer("attention")))
    given = Architecture(width=8, stages=(Stage(blocks, loops=loops),), sparsity=sparsity)
    return build(CATALOG.complete_architecture(given), CATALOG, SIGNATURE, seed=3)


def batch(number: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(number)
    x = torch.randn(16, 6, 3, generator=generator)
    return x, (x[:, 0, 0] > 0).long()


def loss(network: Model, number: int) -> Tensor:
    x, y = batch(number)
    prediction, penalty = network(x)
    return torch.nn.functional.cross_entropy(prediction, y) + penalty


def masked(network: Model, layer: Layer, seed: int = 0) -> Masks:
    return sparsify(
        network, layer, STEPS, seed=seed, loss=lambda number: loss(network, 5000 + number)
    )


def train(
    network: Model,
    masks: Masks | None,
    first: int = 1,
    last: int = STEPS,
    optimizer: torch.optim.Optimizer | None = None,
) -> Iterator[tuple[int, torch.optim.Optimizer]]:
    """Yields after each update; batches depend on the step alone."""
    optimizer = optimizer or torch.optim.AdamW(network.parameters(), 0.01, weight_decay=0.1)
    for step in range(first, last + 1):
        optimizer.zero_grad()
        loss(network, step).backward()
        if masks is not None:
            masks.before_step(step)
        optimizer.step()
        if masks is not None:
            masks.after_step(step, optimizer)
        yield step, optimizer
