"""What zeros save, against closed forms: density, operations, bytes, and a measured time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from toy_task import SignTask, network

from archsearch.build import Model, build
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.plugins import load_catalog
from archsearch.serve.bundle import WEIGHTS, write_bundle
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.settings import MEASURED, Objective, TaskSpec
from archsearch.spec.trial import Limit, Outcome
from archsearch.tasks.open import open_task
from archsearch.train.declared import ADAMW
from archsearch.train.fit import fit
from archsearch.train.flops import flops
from archsearch.train.measure import example, measure
from archsearch.train.savings import SAVINGS, Savings

torch.set_num_threads(1)

CATALOG = load_catalog()
HALF = Layer.of("one_shot", density=0.5, at=0.0)
POWER = TaskSpec("parity", Layer.of("parity", length=12))


def built(cell: str, task: SignTask, **options: object) -> Model:
    return build(network(cell, 8, **options), CATALOG, task.signature, 0)  # type: ignore[arg-type]


def inputs(task: SignTask) -> torch.Tensor:
    return example(task.signature, torch.device("cpu"))


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_operations_with_zeros_are_not_counted(cell: str, gates: int) -> None:
    """Every weight of a recurrent cell is used once per step, also inside the fused LSTM."""
    task = SignTask(length=7)
    model = built(cell, task)
    masks = sparsify(model, Layer.of("random", density=0.25, allocation="uniform"), 4)
    found = Savings(model, masks, inputs(task)).figures()
    dense = measure(model, task, 4).figures["flops"]
    gone = 2 * gates * 8 * 8 * 3 // 4
    assert dense - found["sparse_flops"] == pytest.approx(2 * gone)
    assert found["density"] == 0.25


def test_a_convolution_uses_its_taps_at_every_step() -> None:
    task = SignTask(length=7)
    model = built("tcn", task)
    dense = Savings(model, sparsify(model, NONE, 4), inputs(task)).figures()
    assert dense["sparse_flops"] == pytest.approx(flops(model.eval(), inputs(task)) / 7)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("stages.") and weight.ndim >= 2:
                weight.zero_()
    rest = Savings(model, sparsify(model, NONE, 4), inputs(task)).figures()["sparse_flops"]
    ends = 2 * 7 * 2 * 8 + 2 * 8 * 2
    assert rest * 7 == pytest.approx(ends)


@pytest.mark.parametrize("cell", CATALOG.names("cell"))
def test_no_more_is_saved_than_there_is(cell: str) -> None:
    task = SignTask()
    model = built(cell, task)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    found = Savings(model, sparsify(model, NONE, 4), inputs(task)).figures()
    assert 0 <= found["sparse_flops"] <= flops(model.eval(), inputs(task)) / task.signature.length


def test_a_training_tells_its_figures_at_every_look_and_a_dense_one_does_not() -> None:
    task, told = SignTask(), []

    def train(sparsity: Layer) -> list[Mapping[str, float]]:
        told.clear()
        fit(
            built("gru", task),
            task,
            ADAMW.complete(Layer.of("adamw", steps=8, batch=6, evaluations=4)),
            CATALOG.complete("sparsity", sparsity),
            seed=0,
            report=lambda _, metrics: not told.append(dict(metrics)),
        )
        return list(told)

    assert not any(name in look for look in train(NONE) for name in SAVINGS)
    looks = train(Layer.of("magnitude", density=0.2, updates=4))
    for name in SAVINGS:
        values = [look[name] for look in looks]
        assert values == sorted(values, reverse=True)
        assert values[-1] < values[0]


def job(sparsity: Layer, path: Path, *objectives: Objective) -> Job:
    training = Layer.of("adamw", steps=8, batch=6, evaluations=2)
    stages = (Stage((Block(Layer("gru"), channel=Layer("mlp")),)),)
    given = Architecture(16, stages, sparsity=sparsity, training=training)
    return Job(
        trial=0,
        title="t",
        task=POWER,
        data=open_task(POWER).fingerprint,
        architecture=CATALOG.complete_architecture(given),
        seed=3,
        protocol="search",
        objectives=objectives or (Objective("accuracy", "max"),),
        keep=str(path / "kept.safetensors"),
    )


def run(sparsity: Layer, path: Path) -> tuple[Outcome, Architecture]:
    given = job(sparsity, path)
    outcome = run_job(given)
    assert outcome.state.has_value, outcome.message
    return outcome, given.architecture


@pytest.mark.parametrize(
    "sparsity",
    [
        NONE,
        Layer.of("one_shot", density=0.3),
        Layer.of("one_shot", density=0.3, which="channel", pattern="row"),
        Layer.of("n_of_m", n=2, m=4),
    ],
    ids=str,
)
def test_the_bytes_of_a_trial_are_those_of_its_export(tmp_path: Path, sparsity: Layer) -> None:
    outcome, architecture = run(sparsity, tmp_path)
    signature = open_task(POWER).signature
    write_bundle(
        tmp_path / "best",
        tmp_path / "kept.safetensors",
        architecture,
        signature,
        {},
        {},
        CATALOG,
        task=POWER,
    )
    data = (tmp_path / "best" / WEIGHTS).read_bytes()
    header = int.from_bytes(data[:8], "little")
    found = dict(outcome.metrics)
    assert found["bytes"] == len(data) - 8 - header
    assert set(MEASURED) <= found.keys()
    assert {"latency_ms", "step_ms"} <= dict(outcome.timings).keys()
    if sparsity == NONE:
        assert (found["density"], found["density_all"]) == (1, 1)
        assert found["sparse_flops"] == found["flops"]
        assert found["bytes"] == 4 * found["params"]
    else:
        assert found["density"] < found["density_all"] < 1
        assert found["sparse_flops"] < found["flops"]
        assert found["bytes"] < 4 * found["params"]


@pytest.mark.parametrize("metric", SAVINGS)
def test_every_figure_can_be_an_objective(tmp_path: Path, metric: str) -> None:
    smaller = job(HALF, tmp_path, Objective("accuracy", "max"), Objective(metric, "min"))
    for sparsity in (HALF, NONE):
        given = replace(
            smaller,
            architecture=replace(
                smaller.architecture, sparsity=CATALOG.complete("sparsity", sparsity)
            ),
            limits=(Limit(4, ((-2.0, 0.0),)),),
        )
        outcome = run_job(given)
        # dominated by a point that nothing reaches
        assert outcome.message.startswith("behind earlier trials"), outcome.message
        assert dict(outcome.metrics)[metric] > 0
