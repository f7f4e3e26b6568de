"""What is not a number ends its trial at once, with its step, and is nobody's evidence."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from archsearch.cli.plans import plans_of
from archsearch.cli.show import show
from archsearch.execute import run_job
from archsearch.execute.death import outcome_of_death
from archsearch.execute.inline import InlineBackend
from archsearch.execute.job import Job
from archsearch.plugins import load_catalog
from archsearch.search import bayesian
from archsearch.select.ranking import rank
from archsearch.spec.spacefile import read_space
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import open_store
from archsearch.study.study import run_study
from archsearch.tasks.task import Task
from archsearch.train import fit as training

SPACE = """\
archsearch: 1
task: {name: parity, length: 4, validation_size: 16, test_size: 16}
space:
  width: 8
  stages: [{blocks: [{cell: {choice: [gru, rnn]}}]}]
  training: {lr: {float: [1.0e-3, 1.0e-1], log: true}, steps: 6, batch: 4, evaluations: 3}
search: {sampler: {name: tpe, startup: 4}, stopping: {name: median, warmup: 3}, trials: 26, lag: 2}
confirm: none
"""
# what is wrong, at which step; a metric is asked for after every second one
POISONS: dict[int, tuple[str, int]] = {
    4: ("nan loss", 1),
    5: ("inf loss", 3),
    6: ("nan loss", 6),
    7: ("gradient", 2),
    8: ("metric", 4),
    9: ("-inf loss", 2),
}
WORDS = {
    "nan loss": "the training loss is nan",
    "inf loss": "the training loss is inf",
    "-inf loss": "the training loss is -inf",
    "gradient": "the gradient norm is nan",
    "metric": "accuracy is nan",
}
SAID = b"reading the data\nepoch 3 of 9\n"
FATES = {10: State.TIMEOUT, 11: State.OOM, 12: None}


class NoGradient(torch.autograd.Function):
    """Zero, with a gradient that is not a number."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value * 0.0

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * math.nan


@dataclass
class Poisoned(InlineBackend):
    """Trains, and spoils what the trial's number says; ``limits`` are those of all jobs."""

    trial: int = 0
    step: int = 0
    limits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def submit(self, job: Job) -> None:
        self.limits += [value for limit in job.limits for point in limit.front for value in point]
        super().submit(job)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        self.trial, self.step = self._waiting[0].trial, 0
        if self.trial not in FATES:
            return super().collect(timeout)
        died = outcome_of_death(
            FATES[self.trial], 9, SAID, limit=64e6, seconds=1.5, cpu_seconds=1.0, peak=96 << 20
        )
        # as if it had been lost for the last time
        return [(self._waiting.popleft(), Outcome(died.state, (), (), died.message, died.timings))]

    def loss(self, *given: Any) -> Tensor:
        self.step += 1
        total = LOSS(*given)
        what, step = POISONS.get(self.trial, ("", 0))
        if step != self.step:
            return total
        if what == "gradient":
            return total + NoGradient.apply(total)
        return total * float(what.split()[0]) if what.endswith("loss") else total

    def judge(self, model: torch.nn.Module, task: Task, split: Any) -> dict[str, float]:
        found = JUDGE(model, task, split)
        spoilt = POISONS.get(self.trial) == ("metric", self.step)
        return {name: math.nan for name in found} if spoilt else found


LOSS, JUDGE = training.model_loss, run_job.judge


@dataclass(frozen=True)
class Studied:
    url: str
    trials: list[Trial]
    believed: list[float]
    best: Trial


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Studied:
    folder = tmp_path_factory.mktemp("study")
    (folder / "spoilt.yaml").write_text(SPACE)
    url = f"sqlite:///{folder}/archsearch.db"
    catalog = load_catalog()
    (plan,) = plans_of(read_space(folder / "spoilt.yaml", catalog), catalog)
    backend, told = Poisoned(), list[float]()
    original = bayesian.optuna.trial.create_trial

    def overheard(**what: Any) -> Any:
        told.extend(what.get("values") or ())
        return original(**what)

    with pytest.MonkeyPatch.context() as patch, open_store(url) as store:
        patch.setattr(training, "model_loss", backend.loss)
        patch.setattr(run_job, "judge", backend.judge)
        patch.setattr(bayesian.optuna.trial, "create_trial", overheard)
        run_study(plan, store, backend, lambda _: None)
        study = store.find_study("spoilt")
        assert study is not None
        trials = store.history(study.id)
    assert told, "the model was never asked"
    assert backend.limits, "no trial had limits"
    best = rank(trials, plan.search.objectives)[0]
    return Studied(url, trials, told + backend.limits, best)


def norm_at(index: int) -> str:
    """How the last norm of the gradient is told, where there was one."""
    what, step = POISONS[index]
    return "" if what == "gradient" or step == 1 else r" \(gradient norm \d\S*\)"


@pytest.mark.parametrize("index", POISONS)
def test_it_diverges_at_its_step(studied: Studied, index: int) -> None:
    what, step = POISONS[index]
    outcome = studied.trials[index].outcome
    assert outcome.state is State.DIVERGED, outcome.message
    assert re.fullmatch(rf"{WORDS[what]} at step {step}{norm_at(index)}", outcome.message)
    assert outcome.metrics == ()
    assert all(seen < step for seen, _ in outcome.curve)
    assert all(math.isfinite(value) for _, seen in outcome.curve for _, value in seen)


def test_nobody_believes_it(studied: Studied) -> None:
    assert all(math.isfinite(value) for value in studied.believed)
    assert studied.best.state is State.COMPLETE
    assert {trial.index for trial in studied.trials if trial.state is State.DIVERGED} == set(
        POISONS
    )
    assert len(studied.trials) == 26


def shown(studied: Studied, index: int, *options: str) -> str:
    # a terminal of that width breaks no line
    done = CliRunner(env={"COLUMNS": "1000"}).invoke(
        show, ["spoilt", str(index), "--storage", studied.url, *options]
    )
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("index", POISONS)
def test_show_tells_the_step_and_the_gradient(studied: Studied, index: int) -> None:
    text = shown(studied, index)
    assert f"trial {index}: diverged" in text
    assert re.search(rf"at step {POISONS[index][1]}{norm_at(index)}\n", text)
    assert json.loads(shown(studied, index, "--json"))["state"] == "diverged"


@pytest.mark.parametrize("index", FATES)
def test_show_tells_memory_and_last_words(studied: Studied, index: int) -> None:
    text = shown(studied, index)
    assert f"trial {index}: {FATES[index] or State.CRASHED}" in text
    assert "its last words: reading the data | epoch 3 of 9" in text
    assert any(line.split() == ["peak_rss_mb", "96"] for line in text.splitlines())
