"""The frozen network that guides a training, where its options name one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from archsearch.build import build
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import derived_seed
from archsearch.tasks.task import Task
from archsearch.train.draws import CPU, undisturbed
from archsearch.train.fit import Objective, fit
from archsearch.train.guidance import Guided, guidance_options
from archsearch.train.loss import model_loss

BLOCKS = 2


def guided(
    objective: Objective | None,
    architecture: Architecture,
    catalog: Catalog,
    task: Task,
    seed: int,
    device: torch.device = CPU,
) -> Objective | None:
    """The objective itself, or what the training option ``guide`` makes of it.

    The guide depends on the width, the ends and the training of the architecture and on the seed;
    where it learns the task first, that is a training of its own, which disturbs no other.
    """
    options = guidance_options(architecture.training)
    if options["guide"] == "none":
        return objective
    own = catalog.complete_architecture(plain_guide(options["guide"], architecture))
    number = derived_seed(seed, "guide")
    guide = build(own, catalog, task.signature, number).to(device)
    if options["guide_steps"]:
        with undisturbed(device, number):
            fit(
                guide,
                task,
                own.training,
                NONE,
                seed=number,
                report=lambda step, metrics: True,
                split=None,
            )
    return Guided(objective or model_loss, guide, options["guidance"])


def plain_guide(name: str, like: Architecture) -> Architecture:
    """Two residual blocks of the cell named, with the width and the ends of ``like``."""
    cell = Layer(name)
    if name == "attention":
        cell = Layer.of("attention", heads=math.gcd(like.width, 4), positions="alibi")
    block = Block(cell, channel=Layer("mlp") if name == "attention" else NONE)
    options = dict(like.training.options)
    steps = options.get("guide_steps", 1)
    kept = {key: value for key, value in options.items() if not key.startswith("guid")}
    layer = Layer(like.training.name, tuple((kept | {"steps": steps}).items()))
    return replace(
        Architecture(like.width, (Stage((block,) * BLOCKS),), embed=like.embed, head=like.head),
        training=layer,
    )
