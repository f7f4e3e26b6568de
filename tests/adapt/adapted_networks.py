"""Small networks for the tests of chains, and sequences that they read."""

from __future__ import annotations

import random
from functools import cache

import torch

from archsearch.blocks.declared import BLOCKS
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.signature import Signature
from archsearch.train.declared import TRAINING

CATALOG = Catalog((*CELLS, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING))
CELL_NAMES = CATALOG.names("cell")
CAUSAL = tuple(name for name in CELL_NAMES if CATALOG.find("cell", name).causal)
WIDTH = 16


def signature(every_step=False, targets="class", inputs="values"):
    return Signature(inputs, 5, targets, 3, every_step=every_step, length=8)


def example(given, batch=4, time=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if given.inputs == "tokens":
        return torch.randint(given.channels, (batch, time), generator=generator)
    return torch.randn(batch, time, given.channels, generator=generator)


def network(*stages, **parts):
    return Architecture(WIDTH, stages, **parts)


def made(architecture, given=None, seed=0, dtype=torch.float32):
    """Built for use, with what begins at zero moved so that it matters."""
    model = build(architecture, CATALOG, given or signature(), seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith((".embedding", ".up", "halt.weight", "reads.0")):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model.eval().requires_grad_(False).to(dtype)


@cache
def small():
    """Two blocks, three loops of one block with a vector of their own each, one more block."""
    looped = Stage(
        (Block(Layer("lru"), channel=Layer("mlp")),),
        loops=3,
        tie=Layer.of("shared", embedding=True),
    )
    return made(
        network(
            Stage((Block(Layer("gru")), Block(Layer("attention"), channel=Layer("glu")))),
            looped,
            Stage((Block(Layer("lstm")),)),
            head=Layer.of("linear", pool="mean"),
        )
    )


def of_cell(cell, given, seed=0, dtype=torch.float32, tie=None):
    """A network with the cell in a block of its own, in a loop, and beside another one."""
    rng = random.Random(f"{cell}/{seed}")
    ties = [
        Layer.of("shared", embedding=True),
        Layer.of("lora", rank=2),
        Layer("projected"),
        Layer("injected"),
    ]
    return made(
        network(
            Stage((Block(Layer(cell), channel=Layer("mlp")), Block(Layer("gru")))),
            Stage((Block(Layer(cell)),), loops=2, tie=tie or rng.choice(ties)),
        ),
        given,
        seed,
        dtype,
    )


def any_chain(rng, depth):
    """Skips, repeats and jumps back."""
    path = [p for p in range(depth) for _ in range(rng.choice((0, 1, 1, 2)))]
    if len(path) > 2 and rng.random() < 0.5:
        at = rng.randrange(len(path) - 1)
        path[at:at] = path[at : at + 2]
    return tuple(path)
