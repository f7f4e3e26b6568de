"""One job from data to outcome: every state, and nothing raised."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from archsearch.build import build
from archsearch.execute import run_job as module
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.execute.weights import keep_weights
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.spec.trial import Limit, State
from archsearch.tasks.open import open_task
from archsearch.train.fit import Diverged
from archsearch.train.judge import judge

TASK = TaskSpec("parity", Layer.of("parity", length=10))
ACCURACY, PARAMS = Objective("accuracy", "max"), Objective("params", "min")


def job(cell: str = "gru", **changes: object) -> Job:
    training = Layer.of("adamw", steps=10, batch=8, evaluations=5)
    return replace(
        Job(
            trial=0,
            title="a job",
            task=TASK,
            data=open_task(TASK).fingerprint,
            architecture=Architecture(8, (Stage((Block(Layer(cell)),)),), training=training),
            seed=7,
            objectives=(ACCURACY,),
        ),
        **changes,
    )


def test_a_complete_outcome() -> None:
    outcome = run_job(job())
    assert outcome.state is State.COMPLETE
    assert [step for step, _ in outcome.curve] == [2, 4, 6, 8, 10]
    metrics = dict(outcome.metrics)
    assert {"accuracy", "params", "flops", "state"} <= set(metrics)
    assert "train_loss" not in metrics
    assert metrics["accuracy"] == dict(outcome.curve[-1][1])["accuracy"]
    timings = dict(outcome.timings)
    assert {"seconds", "cpu_seconds", "latency_ms", "step_ms", "peak_memory_mb"} == set(timings)
    assert timings["seconds"] > 0
    assert not set(timings) & set(metrics)


def test_what_ran_before_changes_nothing() -> None:
    first = run_job(job())
    run_job(job("lstm", seed=1))
    torch.manual_seed(99)
    again = run_job(job())
    assert (again.metrics, again.curve) == (first.metrics, first.curve)


def test_kept_weights_are_those_that_were_judged(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "weights.safetensors"
    wanted = job(keep=str(path))
    outcome = run_job(wanted)
    assert outcome.weights == str(path)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    task, catalog = open_task(TASK), load_catalog()
    model = build(catalog.complete_architecture(wanted.architecture), catalog, task.signature, 0)
    model.load_state_dict(load_file(path))
    assert judge(model, task, "validation")["accuracy"] == outcome.metric("accuracy")


def test_weights_under_two_names_are_kept_under_both(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"one": torch.nn.Linear(2, 2)})
    model["other"] = model["one"]
    keep_weights(model, tmp_path / "w.safetensors")
    assert len(load_file(tmp_path / "w.safetensors")) == 4


def test_confirming_is_judged_on_test_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    original = module.judge
    monkeypatch.setattr(
        module,
        "judge",
        lambda model, task, split: judged.append(split) or original(model, task, split),
    )
    outcome = run_job(job(protocol="confirm"))
    assert outcome.state is State.COMPLETE
    assert judged == ["test"]
    assert {name for _, metrics in outcome.curve for name, _ in metrics} == {"train_loss"}


def test_a_limit_stops_at_the_first_look_after_it() -> None:
    outcome = run_job(job(limits=(Limit(3, ((-1.1,),)),)))
    assert outcome.state is State.STOPPED
    assert [step for step, _ in outcome.curve] == [2, 4]
    assert "step 4" in outcome.message
    assert outcome.metric("accuracy") is None
    assert outcome.metric("params") is not None


def test_a_limit_that_is_kept_changes_nothing() -> None:
    limited = run_job(job(limits=(Limit(4, ((0.0,),)), Limit(6, ()))))
    free = run_job(job())
    assert (limited.state, limited.metrics) == (State.COMPLETE, free.metrics)


@pytest.mark.parametrize(("bound", "state"), [(1e9, State.COMPLETE), (1.0, State.STOPPED)])
def test_a_limit_on_two_objectives_asks_both(bound: float, state: State) -> None:
    """A rival more accurate than possible stops it only if it is no larger as well."""
    limits = (Limit(4, ((-1.1, bound),)),)
    assert run_job(job(objectives=(ACCURACY, PARAMS), limits=limits)).state is state


def test_a_measured_time_may_be_an_objective() -> None:
    latency = Objective("latency_ms", "min")
    outcome = run_job(job(objectives=(latency,), limits=(Limit(4, ((0.0,),)),)))
    assert outcome.state is State.STOPPED


def test_an_unknown_objective_is_invalid() -> None:
    strange = Objective("beauty", "max")
    outcome = run_job(job(objectives=(strange,), limits=(Limit(4, ((0.0,),)),)))
    assert outcome.state is State.INVALID
    assert "beauty" in outcome.message
    assert "accuracy" in outcome.message


def test_other_data_is_invalid() -> None:
    outcome = run_job(job(data="0000"))
    assert outcome.state is State.INVALID
    assert "0000" in outcome.message
    assert open_task(TASK).fingerprint in outcome.message


def test_what_cannot_be_built_is_invalid() -> None:
    outcome = run_job(
        job("attention", architecture=replace(job("attention").architecture, width=7))
    )
    assert outcome.state is State.INVALID
    assert "attention" in outcome.message


def test_an_unknown_cell_is_invalid_with_a_suggestion() -> None:
    outcome = run_job(job("gruu"))
    assert outcome.state is State.INVALID
    assert "did you mean 'gru'" in outcome.message


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Diverged(8, "the training loss is nan", 3.0), State.DIVERGED),
        (MemoryError(), State.OOM),
        (SystemExit(1), State.CRASHED),
        (ZeroDivisionError("by zero"), State.CRASHED),
    ],
)
def test_a_training_that_fails_keeps_curve_and_times(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, state: State
) -> None:
    def failing(*args, report, **options):
        report(5, {"accuracy": 0.5})
        raise error

    monkeypatch.setattr(module, "fit", failing)
    outcome = run_job(job())
    assert outcome.state is state
    assert outcome.curve == ((5, (("accuracy", 0.5),)),)
    assert dict(outcome.timings)["seconds"] > 0
    assert outcome.message
    if state is State.DIVERGED:
        assert outcome.message == "the training loss is nan at step 8 (gradient norm 3)"


def test_a_metric_on_test_that_is_no_number_diverges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "judge", lambda *_: {"accuracy": math.nan})
    outcome = run_job(job(protocol="confirm"))
    assert outcome.state is State.DIVERGED
    assert "accuracy" in outcome.message


def test_ctrl_c_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job(job())


def test_the_process_is_left_as_it_was() -> None:
    torch.set_num_threads(1)
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    run_job(job())
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after
    # numbers too small to be normal are numbers again
    assert float(np.float64(5e-324)) * 1.0 > 0
    assert torch.tensor(1e-310, dtype=torch.float64).mul(1).item() > 0
