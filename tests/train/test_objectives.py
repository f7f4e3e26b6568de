"""A head may bring the loss that its network is trained by; it is judged as the task judges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_fit import trained
from toy_task import SignTask, network

from archsearch.build import build
from archsearch.errors import ArchitectureError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Task
from archsearch.train.judge import judge
from archsearch.train.loss import loss, model_loss
from archsearch.train.measure import measure
from archsearch.train.tensors import tensors

torch.set_num_threads(1)

CATALOG = load_catalog()


def with_head(head: Layer, task: Task, **changes: object) -> torch.nn.Module:
    architecture: Architecture = replace(network(**changes), head=head)
    return build(architecture, CATALOG, task.signature, 0)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        Layer.of("margin"),
        Layer.of("margin", form="crammer_singer", power=1),
        Layer.of("triplet"),
    ],
    ids=str,
)
def test_it_learns(head: Layer, every_step: bool) -> None:
    task = SignTask(every_step)
    model = with_head(head, task)
    trained(task, model, steps=150, lr=0.02, batch=32)
    assert judge(model, task, "test")["accuracy"] > 0.9


def test_the_loss_is_the_heads_own_over_the_steps_that_count() -> None:
    task = SignTask(every_step=True)
    model = with_head(Layer.of("margin"), task)
    batch = tensors(task.draw(np.random.default_rng(0), 6), torch.device("cpu"))
    said, _ = model(batch.inputs, batch.lengths)
    expected = model.head.objective(said[batch.mask], batch.targets[batch.mask])
    assert model_loss(model, batch, task.signature).item() == pytest.approx(expected.item())
    assert expected.item() != pytest.approx(loss(said, batch, task.signature).item())


def test_a_head_without_one_is_trained_by_the_tasks() -> None:
    task = SignTask()
    model = with_head(Layer("linear"), task)
    batch = tensors(task.draw(np.random.default_rng(0), 6), torch.device("cpu"))
    said, _ = model(batch.inputs, batch.lengths)
    assert model_loss(model, batch, task.signature) == loss(said, batch, task.signature)


def test_its_cost_can_be_measured() -> None:
    task = SignTask()
    for head in ("margin", "triplet", "pointer"):
        cost = measure(with_head(Layer(head), task), task, 4)
        assert cost.timings["peak_memory_mb"] > 0


def test_a_task_with_numbers_is_refused_with_the_place() -> None:
    with pytest.raises(ArchitectureError, match=r"head 'margin' of .* asks for numbers"):
        with_head(Layer("margin"), SignTask(targets="value"))


def test_a_pointer_sorts_five_numbers_and_then_seven() -> None:
    """The claim of arXiv 1506.03134: it also answers for lengths that it was not trained on."""
    spec = Layer.of("sorting", length=10, test_length=14)
    task = open_task(TaskSpec("sorting", CATALOG.find("task", "sorting").complete(spec)))
    scores = {}
    for head in ("pointer", "linear"):
        model = with_head(Layer(head), task, width=32)
        trained(task, model, steps=400, lr=0.01, batch=64, evaluations=1)
        scores[head] = judge(model, task, "test")
    assert scores["pointer"]["accuracy"] > 0.92
    assert scores["linear"]["accuracy"] < 0.8
    assert scores["pointer"]["accuracy_long"] > 0.6
    assert scores["linear"]["accuracy_long"] < 0.4


def test_a_hidden_item_is_told_from_both_sides() -> None:
    """Hit at 1 above 0.95 where every item follows from any other, as a cloze should allow."""
    spec = Layer.of("cloze", vocab=7, strides=1, length=8)
    task = open_task(TaskSpec("cloze", CATALOG.find("task", "cloze").complete(spec)))
    model = with_head(Layer("linear"), task, cell="bidirectional", width=32)
    trained(task, model, steps=300, lr=0.01, batch=64, evaluations=1)
    assert judge(model, task, "test")["accuracy"] > 0.95
