"""A frozen network guides another one: likeness of representations, and trainings with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy_task import SignTask, network

from archsearch.build import build
from archsearch.execute.guide import guided, plain_guide
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.spec.trial import State
from archsearch.tasks.open import open_task
from archsearch.train.guidance import Guided, layers_of, likeness, paired
from archsearch.train.loss import model_loss
from archsearch.train.tensors import tensors

torch.set_num_threads(1)
CATALOG = load_catalog()


def features(seed: int, count: int = 64, width: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator, dtype=torch.float64)


def test_likeness() -> None:
    one, other = features(0), features(1)
    rotation = torch.linalg.qr(features(2, 20))[0]
    assert likeness(one, one).item() == pytest.approx(1)
    assert likeness(one, 3 * one @ rotation + 5).item() == pytest.approx(1)
    assert likeness(one, other).item() == pytest.approx(likeness(other, one).item())
    # of features that share nothing it is not zero with so few examples
    shared = [likeness(features(seed), features(seed + 100)).item() for seed in range(40)]
    assert sum(shared) / 40 == pytest.approx(0.23, abs=0.02)
    kernel = torch.eye(64, dtype=torch.float64) - 1 / 64
    alike = [features @ features.T for features in (one, other)]

    def hsic(a: Tensor, b: Tensor) -> Tensor:
        return ((kernel @ a @ kernel) * (kernel @ b @ kernel)).sum()

    known = hsic(*alike) / (hsic(alike[0], alike[0]) * hsic(alike[1], alike[1])).sqrt()
    assert likeness(one, other).item() == pytest.approx(known.item())


def test_constant_features_have_a_finite_gradient() -> None:
    one = torch.ones(8, 3, requires_grad=True)
    found = likeness(one, features(0, 8, 5).float())
    found.backward()
    assert found.item() == 0.0
    assert torch.isfinite(one.grad).all()


def test_which_layers_go_together() -> None:
    assert [paired(i, 3, 5) for i in range(3)] == [0, 2, 4]
    assert [paired(i, 4, 2) for i in range(4)] == [0, 0, 1, 1]
    assert paired(0, 1, 6) == 5
    assert [paired(i, 3, 1) for i in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("cell", ["gru", "attention", "bidirectional"])
def test_layers_are_those_of_the_whole_batch(cell: str) -> None:
    task = SignTask()
    given = Architecture(8, (Stage((Block(Layer(cell)), Block(Layer("gru"))), loops=2),))
    model = build(CATALOG.complete_architecture(given), CATALOG, task.signature, 0)
    x = torch.randn(5, 7, 2)
    lengths = torch.tensor([7, 3, 7, 2, 1])
    with layers_of(model, 5, 7) as found:
        model(x, lengths)
    assert all(layer.shape == (5, 7, 8) for layer in found)
    assert len(found) == (4 if model.causal else 1)
    assert not model.norm._forward_pre_hooks


def test_what_is_padding_counts_for_nothing_and_the_guide_stays() -> None:
    task = SignTask()
    batch = tensors(task.draw(np.random.default_rng(0), 12), torch.device("cpu"))
    student = build(network(width=4), CATALOG, task.signature, 0)
    guide = build(network(width=8), CATALOG, task.signature, 1)
    found = Guided(model_loss, guide, 2.0)(student, batch, task.signature)
    plain = model_loss(student, batch, task.signature)
    assert plain.item() < found.item() < plain.item() + 2
    noisy = batch.inputs.clone()
    noisy[torch.arange(noisy.shape[1])[None] >= batch.lengths[:, None]] = 9.0
    again = Guided(model_loss, guide, 2.0)(student, replace(batch, inputs=noisy), task.signature)
    assert again.item() == pytest.approx(found.item())
    found.backward()
    assert all(p.grad is None for p in guide.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.stages.parameters())
    # a network is like itself
    same = Guided(model_loss, student, 2.0)(student, batch, task.signature)
    assert same.item() == pytest.approx(plain.item(), abs=1e-4)


def job(folder: Path, **options: object) -> Job:
    task = TaskSpec("parity", Layer.of("parity", length=8, validation_size=64, test_size=64))
    training = {"steps": 12, "batch": 16, "evaluations": 3, **options}
    return Job(
        trial=0,
        title="a job",
        task=task,
        data=open_task(task).fingerprint,
        architecture=CATALOG.complete_architecture(
            replace(network("rnn"), training=Layer.of("adamw", **training))  # type: ignore[arg-type]
        ),
        seed=7,
        objectives=(Objective("accuracy", "max"),),
        keep=str(folder / "weights.safetensors"),
    )


@pytest.mark.parametrize("guide", ["gru", "lstm", "attention"])
@pytest.mark.parametrize("steps", [0, 5])
def test_a_job_is_guided_and_the_same_twice(guide: str, steps: int, tmp_path: Path) -> None:
    wanted = job(tmp_path, guide=guide, guide_steps=steps)
    one, other = run_job(wanted), run_job(wanted)
    assert one.state is State.COMPLETE, one.message
    assert (one.metrics, one.curve) == (other.metrics, other.curve)
    plain = run_job(job(tmp_path))
    # the loss holds what is lacking in likeness, and batches are the same
    first = dict(one.curve[0][1])["train_loss"]
    assert dict(plain.curve[0][1])["train_loss"] < first < 3


def test_a_guided_job_that_was_interrupted_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    options = {"guide": "gru", "guide_steps": 4}
    known = run_job(job(whole, **options))
    first = replace(job(parts, **options), checkpoints=str(parts / "saved"), checkpoint_seconds=0.0)
    done = run_job(first)
    again = run_job(first)
    assert "continued after step" in again.message
    for outcome in (done, again):
        assert (outcome.metrics, outcome.curve) == (known.metrics, known.curve)
    name = "weights.safetensors"
    assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_a_guide_that_learns_first_is_another_one_and_disturbs_nothing() -> None:
    task = SignTask()
    given = replace(
        network("rnn"), training=Layer.of("adamw", steps=30, batch=16, guide="gru", guide_steps=20)
    )
    architecture = CATALOG.complete_architecture(given)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    learned = guided(model_loss, architecture, CATALOG, task, 3)
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(learned, Guided)
    own = plain_guide("gru", architecture)
    assert [block.cell.name for block in own.stages[0].blocks] == ["gru", "gru"]
    assert dict(own.training.options)["steps"] == 20
    fresh: nn.Module = build(CATALOG.complete_architecture(own), CATALOG, task.signature, 0)
    assert {n: p.shape for n, p in fresh.named_parameters()} == {
        n: p.shape for n, p in learned.guide.named_parameters()
    }
    assert guided(model_loss, replace(architecture, training=Layer.of("adamw", steps=1)), CATALOG,
                  task, 3) is model_loss  # fmt: skip


def test_a_guide_makes_representations_alike() -> None:
    task = SignTask()
    guide = build(network(width=8), CATALOG, task.signature, 1)
    x = torch.randn(64, 7, 2, generator=torch.Generator().manual_seed(0))

    def after(strength: float) -> float:
        model = build(network("rnn", 8), CATALOG, task.signature, 2)
        objective = Guided(model_loss, guide, strength)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        rng = np.random.default_rng(0)
        for _ in range(80):
            batch = tensors(task.draw(rng, 32), torch.device("cpu"))
            optimizer.zero_grad()
            objective(model, batch, task.signature).backward()
            optimizer.step()
        with torch.no_grad(), layers_of(model, 64, 7) as ours, layers_of(guide, 64, 7) as theirs:
            model(x)
            guide(x)
        return likeness(ours[-1].flatten(1), theirs[-1].flatten(1)).item()

    assert after(1.0) > after(0.0) + 0.05
