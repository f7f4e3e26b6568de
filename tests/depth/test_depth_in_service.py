"""Every tie and every halting goes on from a checkpoint, and leaves as plain PyTorch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from archsearch.build import build
from archsearch.depth.declared import DEPTH
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import read_bundle, write_bundle
from archsearch.serve.standalone import write_standalone
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import LayerType
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature
from archsearch.tasks.open import open_task
from archsearch.train.checkpoint import Checkpoint
from archsearch.train.fit import fit

CATALOG = load_catalog()
STEPS, AT = 6, 3


def last_options(declared: LayerType) -> Layer:
    """The layer with every option at the last value that a search may try."""
    chosen = {}
    for key, option in declared.options.items():
        if isinstance(option.search, IntRange | FloatRange):
            chosen[key] = option.search.high
        elif option.search:
            chosen[key] = option.search[-1]
    return declared.complete(Layer.of(declared.name, **chosen))


LAYERS = [(declared.kind, last_options(declared)) for declared in DEPTH]


def network(kind: str, layer: Layer, cell: str = "gru") -> Architecture:
    block = Block(Layer(cell), channel=Layer("mlp"))
    stage = Stage((block,), loops=3, **{kind: layer})
    given = Architecture(8, (stage, Stage((Block(Layer("gru")),))))
    return CATALOG.complete_architecture(given)


def trained(architecture: Architecture, resume: Checkpoint | None = None) -> list[Checkpoint]:
    """The checkpoints after every step of a short training."""
    sizes = {"validation_size": 16, "test_size": 16}
    options = CATALOG.complete("task", Layer.of("parity", length=9, **sizes))
    task = open_task(TaskSpec("parity", options))
    saved: list[Checkpoint] = []

    def save(take: Callable[[], Checkpoint]) -> None:
        saved.append(take().copied())

    training = Layer.of("adamw", steps=STEPS, batch=4, evaluations=2, lr=0.01)
    complete = CATALOG.complete("training", training)
    with torch.random.fork_rng(devices=()):
        # what the process draws from is whatever ran before
        seed = 7 if resume is None else 8
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        model = build(architecture, CATALOG, task.signature, 5)
        assert fit(
            model, task, complete, architecture.sparsity,
            seed=3, report=lambda step, metrics: True, resume=resume, save=save,
        )  # fmt: skip
    return saved


@pytest.mark.parametrize(("kind", "layer"), LAYERS, ids=str)
def test_it_goes_on_from_a_checkpoint_to_the_same_bits(kind: str, layer: Layer) -> None:
    architecture = network(kind, layer)
    whole = trained(architecture)
    resumed = trained(architecture, whole[AT - 1])
    assert [saved.step for saved in resumed] == list(range(AT + 1, STEPS + 1))
    for mine, theirs in zip(resumed, whole[AT:], strict=True):
        assert mine.plain == theirs.plain
        assert mine.tensors.keys() == theirs.tensors.keys()
        assert all(torch.equal(part, theirs.tensors[name]) for name, part in mine.tensors.items())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(("kind", "layer"), LAYERS, ids=str)
def test_a_bundle_and_a_plain_file_answer_as_the_network_does(
    kind: str, layer: Layer, tmp_path: Path
) -> None:
    architecture = network(kind, layer, "attention")
    signature = Signature("values", 3, "class", 4, every_step=False, length=9)
    model = build(architecture, CATALOG, signature, seed=1).eval()
    task = TaskSpec("t", Layer.of("classification", data="ucr:ItalyPowerDemand"))
    write_bundle(
        tmp_path / "best", model.state_dict(), architecture, signature, {}, {}, CATALOG, task=task
    )
    x = torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0))
    found = read_bundle(tmp_path / "best", CATALOG)
    with torch.no_grad():
        torch.testing.assert_close(found.model()(x)[0], model(x)[0], rtol=1e-5, atol=1e-6)
    # which compares whole sequences, padded ones and streams
    write_standalone(found, tmp_path / "plain")
