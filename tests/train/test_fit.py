"""Training: it learns, it is the same twice, it says when and why it stops."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toy_task import SignTask, Summing, network

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Layer
from archsearch.train.adamw import AdamW
from archsearch.train.declared import ADAMW
from archsearch.train.fit import Diverged, fit, look_steps, rate_share
from archsearch.train.judge import judge

torch.set_num_threads(1)


def training(**options: object) -> Layer:
    return ADAMW.complete(Layer.of("adamw", **{"steps": 20, "batch": 16, **options}))


def trained(task: SignTask, model: nn.Module, sparsity: Layer = NONE, **options: object):
    """The curve of a training, and whether it went to the end."""
    curve: list[tuple[int, dict[str, float]]] = []

    def report(step: int, metrics: object) -> bool:
        curve.append((step, dict(metrics)))
        return True

    seed = options.pop("seed", 0)
    done = fit(model, task, training(**options), sparsity, seed=seed, report=report)
    return curve, done


def built(task: SignTask, seed: int = 0) -> Model:
    return build(network(), load_catalog(), task.signature, seed)


def weights_digest() -> str:
    """Names the weights of one short training to the last bit."""
    task = SignTask()
    model = built(task)
    trained(task, model, steps=12)
    state = b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())
    return hashlib.sha256(state).hexdigest()


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("targets", ["class", "value"])
def test_it_learns(every_step: bool, targets: str) -> None:
    task = SignTask(every_step, targets)
    model = built(task)
    curve, done = trained(task, model, steps=150, lr=0.02, batch=32)
    assert done
    losses = [metrics["train_loss"] for _, metrics in curve]
    assert losses[-1] < 0.5 * losses[0]
    assert judge(model, task, "test")["accuracy"] > 0.9


def test_three_trainings_are_one_to_the_last_bit() -> None:
    assert len({weights_digest() for _ in range(3)}) == 1


def test_another_process_trains_the_same_weights() -> None:
    script = "from test_fit import weights_digest; print(weights_digest())"
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == weights_digest()


def test_another_seed_is_another_training() -> None:
    first, second = Summing(), Summing()
    trained(SignTask(), first, seed=0)
    trained(SignTask(), second, seed=1)
    assert not torch.equal(first.weight, second.weight)


def test_the_global_generators_are_left_alone() -> None:
    model = built(SignTask())
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    trained(SignTask(), model, steps=5)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert (np.random.get_state()[1] == numpy_before).all()


def test_one_step_is_adamw() -> None:
    """Loshchilov & Hutter 2019, algorithm 2, in the first step: a sign step and a decay."""
    task, model = SignTask(targets="value"), Summing(outputs=1)
    before = model.weight.detach().clone()
    batch = SignTask(targets="value").draw(np.random.Generator(np.random.PCG64(3)), 16)
    x = batch.inputs.sum(1)
    error = x @ before.numpy().T - batch.targets
    gradient = torch.from_numpy((2 * error * x).mean(0, keepdims=True))
    trained(task, model, steps=1, lr=0.01, weight_decay=0.5, clip=1e6, warmup=1.0, seed=3)
    expected = before * (1 - 0.01 * 0.5) - 0.01 * gradient.sign()
    torch.testing.assert_close(model.weight.detach(), expected, rtol=0, atol=1e-6)


def test_clipping_bounds_the_first_moment() -> None:
    seen = []
    original = AdamW.step

    model = Summing()

    def spy(self: AdamW) -> None:
        squares = [p.grad.square().sum() for p in model.parameters()]
        seen.append(math.sqrt(sum(float(s) for s in squares)))
        original(self)

    AdamW.step = spy
    try:
        trained(SignTask(), model, steps=4, clip=1e-3)
    finally:
        AdamW.step = original
    assert seen == pytest.approx([1e-3] * 4, rel=1e-2)


def test_what_depth_costs_is_part_of_the_loss() -> None:
    model = Summing(dear=1.0)
    trained(SignTask(), model, steps=100, lr=0.05)
    assert abs(model.dear.item()) < 0.1


@pytest.mark.parametrize(("steps", "warmup"), [(100, 0.1), (7, 0.0), (7, 1.0), (1, 0.1), (1, 1.0)])
def test_the_rate_rises_and_falls(steps: int, warmup: float) -> None:
    rates = [rate_share(step, steps, warmup) for step in range(1, steps + 1)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert all(0 < rate <= 1 for rate in rates)


def test_the_rate_at_known_steps() -> None:
    assert rate_share(1, 100, 0.1) == pytest.approx(0.1)
    assert rate_share(10, 100, 0.1) == 1
    assert rate_share(100, 100, 0.1) < 0.001
    assert rate_share(5, 9, 0.0) == pytest.approx(0.5)


def test_looks_are_even_and_the_last_step_is_one() -> None:
    assert look_steps(600, 10) == list(range(60, 601, 60))
    assert look_steps(3, 10) == [1, 2, 3]
    assert look_steps(7, 2) == [4, 7]
    assert look_steps(5, 1) == [5]


def test_the_curve_has_the_validation_metrics() -> None:
    task = SignTask()
    curve, _ = trained(task, Summing(), steps=20, evaluations=4)
    assert [step for step, _ in curve] == [5, 10, 15, 20]
    assert set(curve[0][1]) == {"train_loss", "accuracy", "error"}
    assert task.judged == ["validation"] * 4


def test_without_a_split_nothing_is_judged() -> None:
    task, seen = SignTask(), []
    fit(
        Summing(),
        task,
        training(evaluations=2),
        NONE,
        seed=0,
        report=lambda step, metrics: not seen.append((step, list(metrics))),
        split=None,
    )
    assert seen == [(10, ["train_loss"]), (20, ["train_loss"])]
    assert task.judged == []


def test_a_report_that_says_no_ends_it() -> None:
    task = SignTask()
    done = fit(Summing(), task, training(), NONE, seed=0, report=lambda step, _: step < 6)
    assert not done
    assert len(task.asked) == 6


def test_the_last_report_cannot_stop_what_is_finished() -> None:
    task = SignTask()
    assert fit(Summing(), task, training(), NONE, seed=0, report=lambda step, _: step < 20)


def test_progress_runs_from_zero_to_one() -> None:
    task = SignTask()
    trained(task, Summing(), steps=10)
    assert task.asked == pytest.approx([k / 10 for k in range(10)])


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it_at_once(poison: float) -> None:
    task = SignTask()
    task.poison = (8, poison)
    with pytest.raises(Diverged, match=r"training loss is (nan|inf) at step 8") as caught:
        trained(task, Summing())
    assert caught.value.step == 8
    assert math.isfinite(caught.value.norm)
    assert len(task.asked) == 8


def test_a_gradient_that_is_no_number_ends_it() -> None:
    class Rooted(Summing):
        """Finite in value, infinite in slope."""

        def forward(self, x, lengths=None):
            prediction, _ = super().forward(x, lengths)
            return prediction, self.dear.sqrt()

    with pytest.raises(Diverged, match=r"gradient norm is (nan|inf) at step 1"):
        trained(SignTask(), Rooted(dear=0.0))


def test_a_metric_that_is_no_number_ends_it() -> None:
    class Broken(SignTask):
        def score(self, predictions, batches):
            return {"accuracy": math.nan}

    with pytest.raises(Diverged, match="accuracy is nan at step 2"):
        trained(Broken(), Summing())


def test_sparsity_is_kept_to_the_end() -> None:
    task = SignTask()
    model = built(task)
    curve, _ = trained(task, model, Layer.of("magnitude", density=0.25), steps=30)
    told = [metrics["density"] for _, metrics in curve]
    assert told == sorted(told, reverse=True)
    assert told[-1] == pytest.approx(0.25, abs=0.01)
    assert curve[-1][1]["density_all"] > told[-1]
    pruned = [
        weight
        for name, weight in model.named_parameters()
        if name.startswith("stages.") and name not in model.no_decay()
    ]
    assert len(pruned) == 2
    for weight in pruned:
        assert int((weight != 0).sum()) == round(0.25 * weight.numel())
