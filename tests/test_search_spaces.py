"""Every ready-made search space: read, sampled, built, run and trained a little on its own task."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.spec.settings import TaskSpec
from archsearch.spec.spacefile import SpaceFile, read_space
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Batch, Task
from archsearch.train.fit import fit
from archsearch.train.tensors import tensors

CATALOG = load_catalog()
FILES = sorted((Path(__file__).parents[1] / "search_spaces").glob("*.yaml"))
SAMPLES = 5
FEW = [("space.training.steps", "2"), ("space.training.evaluations", "2")]
READ = {path.stem: read_space(path, CATALOG, FEW) for path in FILES}
TASKS = [(name, spec) for name, file in READ.items() for spec in file.tasks]


def test_there_is_one_for_every_kind_of_task():
    kinds = {open_task(spec).kind for _, spec in TASKS}
    assert kinds == {"sequences", "series", "text", "generated"}
    assert {"quickstart", "showcase"} <= set(READ)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_opens_with_what_it_asks_and_what_to_expect(path):
    comments = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        comments.append(line)
    assert 2 <= len(comments) <= 4


@pytest.mark.parametrize(("name", "spec"), TASKS, ids=lambda part: getattr(part, "label", part))
def test_samples_build_run_and_train(name: str, spec: TaskSpec):
    file: SpaceFile = READ[name]
    task = open_task(spec)
    batch = next(iter(task.evaluation("validation", 3)))
    rng = random.Random(0)
    seen = set()
    for _ in range(SAMPLES):
        architecture = file.space.architecture(file.space.sample(rng))
        seen.add(architecture.digest)
        assert file.space.contains(architecture)
        model = build(architecture, CATALOG, task.signature, seed=0)
        runs(model, task, batch)
        losses = []
        assert fit(
            model,
            task,
            architecture.training,
            architecture.sparsity,
            seed=0,
            report=lambda step, metrics, losses=losses: losses.append(metrics) or True,
            split=None,
        )
        assert len(losses) == 2
    assert len(seen) > SAMPLES // 2


def runs(model: Model, task: Task, batch: Batch) -> None:
    """One forward pass has the task's shape, and a first step says what forward does."""
    moved = tensors(batch, torch.device("cpu"))
    wanted = (*moved.inputs.shape[: 1 + task.signature.every_step], task.signature.outputs)
    with torch.inference_mode():
        model.eval()
        assert model(moved.inputs, moved.lengths)[0].shape == wanted
        first, _ = model(moved.inputs[:, :1])
        stepped, _ = model.step(moved.inputs[:, 0], model.initial_state(batch.size))
        torch.testing.assert_close(stepped, first.reshape(stepped.shape), rtol=1e-3, atol=1e-4)
