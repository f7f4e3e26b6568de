"""The networks of adapt.py, their data, and how they are trained.

Digits are eight steps of eight numbers; ItalyPowerDemand is the archive's; parity is of sequences
of two to sixteen bits; "carry" asks at its last step for the symbol at a marked one, one to
twenty-three steps before, through loops that each reach three steps back: near ones are easy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.examples import Examples, examples_of
from archsearch.adapt.walk import Walk
from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature
from archsearch.tasks.open import open_task
from archsearch.train.loss import loss, model_loss
from archsearch.train.tensors import Tensors

DROP = 0.2
RATE, WARM = 3e-3, 0.1


@dataclass(frozen=True)
class Data:
    train: Examples
    held: Examples
    test: Examples


@dataclass(frozen=True)
class Network:
    """``drop`` leaves out positions in training; ``moves`` are those of the search."""

    data: Callable[[int], Data]
    architecture: Architecture
    steps: int
    moves: str = "both"
    drop: bool = False


def digits(seed: int) -> Data:
    found = load_digits()
    x = torch.from_numpy((found.images / 16).astype(np.float32))
    y = torch.from_numpy(found.target.astype(np.int64))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    whole = Examples(x[order], None, y[order], None, Signature("values", 8, "class", 10, False, 8))
    return Data(*(whole.take(slice(*ends)) for ends in ((0, 600), (600, 1100), (1100, None))))


def power(seed: int) -> Data:
    spec = TaskSpec("power", Layer.of("classification", data="ucr:ItalyPowerDemand"))
    task = open_task(spec, "confirm")
    train = examples_of(task.evaluation("train"), task.signature)
    test = examples_of(task.evaluation("test"), task.signature)
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))
    return Data(train, test.take(order[:500]), test.take(order[500:]))


def parity(seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    signature = Signature("tokens", 2, "class", 2, every_step=False, length=16)

    def drawn(count: int) -> Examples:
        lengths = torch.randint(2, 17, (count,), generator=generator)
        x = torch.randint(2, (count, 16), generator=generator)
        x = x * (torch.arange(16) < lengths[:, None])
        return Examples(x, lengths, x.sum(1) % 2, None, signature)

    return Data(drawn(6000), drawn(600), drawn(600))


def carry(seed: int) -> Data:
    generator = torch.Generator().manual_seed(seed)
    signature = Signature("values", 5, "class", 4, every_step=False, length=24)

    def drawn(count: int) -> Examples:
        symbols = torch.randint(4, (count, 24), generator=generator)
        place = torch.randint(0, 23, (count,), generator=generator)
        x = torch.cat(
            [
                torch.nn.functional.one_hot(symbols, 4),
                (torch.arange(24) == place[:, None])[..., None],
            ],
            -1,
        )
        rows = torch.arange(count)
        return Examples(x.float(), None, symbols[rows, place], None, signature)

    return Data(drawn(6000), drawn(600), drawn(600))


def stack(cell: Layer, count: int, width: int) -> Architecture:
    return Architecture(width, (Stage((Block(cell, channel=Layer("mlp")),), repeat=count),))


LOOPED = Architecture(
    32,
    (
        Stage(
            (Block(Layer.of("tcn", kernel=4, layers=1), channel=Layer("mlp")),),
            loops=8,
            tie=Layer.of("shared", embedding=True),
            halting=Layer("supervised"),
        ),
    ),
)
ATTENTION = stack(Layer("attention"), 6, 32)
NETWORKS = {
    "digits": Network(digits, ATTENTION, 250),
    "digits, layers dropped in training": Network(digits, ATTENTION, 350, drop=True),
    "power demand, layers dropped": Network(power, stack(Layer("lru"), 5, 24), 400, drop=True),
    "parity of mixed lengths": Network(parity, stack(Layer("gru"), 4, 24), 300, drop=True),
    "carry, looped": Network(carry, LOOPED, 500, moves="skip"),
}


def trained(network: Network, data: Data, seed: int, kept: Path) -> Model:
    """AdamW with warm-up and cosine decay, batches of 64; weights are read back where ``kept``.

    With ``drop`` each step leaves out every position with probability 0.2 and trains the whole
    network and what was left alike, through the one head.
    """
    catalog, signature = load_catalog(), data.train.signature
    model = build(catalog.complete_architecture(network.architecture), catalog, signature, seed)
    if kept.is_file():
        model.load_state_dict(load_file(kept))
        return model.eval().requires_grad_(False)
    model.train()
    walk = Walk(model)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=RATE,
    )
    rng = torch.Generator().manual_seed(seed)
    for step in range(network.steps):
        part = (step + 1) / network.steps
        share = part / WARM if part <= WARM else 0.5 * (1 + math.cos(math.pi * (part - WARM)))
        for group in optimiser.param_groups:
            group["lr"] = RATE * share
        rows = torch.randint(len(data.train), (64,), generator=rng)
        batch = data.train.take(rows)
        total = _loss(walk, batch, network.drop, rng)
        optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, kept)
    return model.eval().requires_grad_(False)


def _loss(walk: Walk, batch: Examples, drop: bool, rng: torch.Generator) -> Tensor:
    lengths = torch.full((len(batch),), batch.x.shape[1])
    lengths = lengths if batch.lengths is None else batch.lengths
    given = Tensors(batch.x, lengths, batch.targets, None)
    whole = model_loss(walk.model, given, batch.signature)
    if not drop:
        return whole
    kept = torch.rand(walk.depth, generator=rng) >= DROP
    # a prefix of what was kept, so that every exit is trained through the one head
    path = [place for place in range(walk.depth) if kept[place]]
    end = int(torch.randint(0, len(path) + 1, (), generator=rng))
    short = walk.run(Chain(tuple(path[:end])), batch.x, batch.lengths)
    return (whole + loss(short, given, batch.signature)) / 2
