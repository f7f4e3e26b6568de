"""The loss against numpy, and judging: every row once, the model's mode as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy_task import SignTask, Summing

from archsearch.spec.signature import Signature
from archsearch.tasks.task import Batch
from archsearch.train.judge import judge
from archsearch.train.loss import loss
from archsearch.train.tensors import tensors

CPU = torch.device("cpu")


def signature(targets: str, every_step: bool) -> Signature:
    return Signature("values", 2, targets, 3, every_step, 5)


def batch_of(targets: np.ndarray, mask: np.ndarray | None = None) -> Batch:
    rows = len(targets)
    return Batch(np.zeros((rows, 5, 2), np.float32), np.full(rows, 5), targets, mask)


def cross_entropy(logits: np.ndarray, target: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[target])


def test_cross_entropy_of_one_class_each() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((4, 3)), np.array([0, 2, 1, 2])
    found = loss(torch.tensor(logits), tensors(batch_of(targets), CPU), signature("class", False))
    expected = [cross_entropy(row, target) for row, target in zip(logits, targets, strict=True)]
    assert found.item() == pytest.approx(np.mean(expected))


def test_cross_entropy_counts_only_the_mask() -> None:
    rng = np.random.default_rng(1)
    logits, targets = rng.standard_normal((2, 5, 3)), rng.integers(0, 3, (2, 5))
    mask = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 1]], bool)
    moved = tensors(batch_of(targets, mask), CPU)
    found = loss(torch.tensor(logits), moved, signature("class", True))
    places = np.argwhere(mask)
    expected = [cross_entropy(logits[row, t], targets[row, t]) for row, t in places]
    assert found.item() == pytest.approx(np.mean(expected))


@pytest.mark.parametrize("every_step", [False, True])
def test_squared_error(every_step: bool) -> None:
    rng = np.random.default_rng(2)
    shape = (2, 5, 3) if every_step else (2, 3)
    predicted, meant = rng.standard_normal(shape), rng.standard_normal(shape)
    mask = rng.random((2, 5)) < 0.5 if every_step else None
    moved = tensors(batch_of(meant, mask), CPU)
    found = loss(torch.tensor(predicted), moved, signature("value", every_step))
    squares = (predicted - meant) ** 2
    assert found.item() == pytest.approx(squares[mask].mean() if every_step else squares.mean())


@pytest.mark.parametrize("every_step", [False, True])
def test_what_is_padded_does_not_matter(every_step: bool) -> None:
    task = SignTask(every_step)
    batch = task.draw(np.random.default_rng(0), 8)
    inside = np.arange(batch.inputs.shape[1])[None] < batch.lengths[:, None]
    logits = torch.randn(8, batch.inputs.shape[1], 2) if every_step else torch.randn(8, 2)
    before = loss(logits, tensors(batch, CPU), task.signature)
    if every_step:
        logits[torch.from_numpy(~inside)] = 1e6
    assert torch.equal(before, loss(logits, tensors(batch, CPU), task.signature))


@pytest.mark.parametrize("training", [False, True])
def test_judging_keeps_the_mode(training: bool) -> None:
    model = Summing().train(training)
    modes = []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    judge(model, SignTask(), "test")
    assert modes == [False]
    assert model.training is training


def test_judging_is_what_the_task_scores() -> None:
    model = Summing()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    # the sum of the first channel is positive: exactly what the weights ask
    assert judge(model, SignTask(), "validation") == {"accuracy": 1.0, "error": 0.0}


def test_judging_leaves_no_gradient() -> None:
    model = Summing()
    judge(model, SignTask(), "train")
    assert model.weight.grad is None
