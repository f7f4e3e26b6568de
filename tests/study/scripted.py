"""A small study on a backend within the process, which does as its test says."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Budget, Objective, SearchSettings, TaskSpec
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Record, pick
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study
from archsearch.testing.toy import example_space, toy_outcome

COSTS = (("seconds", 9.0), ("cpu_seconds", 2.0), ("gpu_seconds", 3.0), ("latency_ms", 4.0))


def learnt(job: Job) -> Outcome:
    """What the toy function says, learnt in ten steps and held to the limits of the job."""
    found = toy_outcome(job.architecture)
    curve: tuple[tuple[int, tuple[tuple[str, float], ...]], ...] = ()
    for step in range(1, 11):
        error = (found.metric("error") or 0.0) + 1.0 / step
        curve += ((step, (("error", error),)),)
        if any(limit.step == step and limit.stops((error,)) for limit in job.limits):
            return Outcome(State.STOPPED, curve=curve, timings=COSTS)
    return Outcome(State.COMPLETE, found.metrics, curve, timings=COSTS)


class Scripted(Backend):
    """Holds what is submitted; each collect ends one job, drawn with ``rng`` or the oldest."""

    def __init__(
        self,
        workers: int = 1,
        run: Callable[[Job], Outcome] = learnt,
        rng: random.Random | None = None,
        submitting: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.workers, self.run, self.rng, self.submitting = workers, run, rng, submitting
        self.submitted: list[Job] = []
        self.held: deque[Job] = deque()
        self.most_held = 0

    def submit(self, job: Job) -> None:
        self.submitting(job)
        self.submitted.append(job)
        self.held.append(job)
        self.most_held = max(self.most_held, len(self.held))

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        return [self.end_one()] if self.held else []

    def end_one(self) -> tuple[Job, Outcome]:
        if self.rng is not None:
            self.held.rotate(self.rng.randrange(len(self.held)))
        job = self.held.popleft()
        return job, self.run(job)

    def close(self) -> None:
        self.held.clear()

    @property
    def indices(self) -> list[int]:
        return [job.trial for job in self.submitted]


def plan(
    name: str = "toy",
    trials: int | None = 12,
    *,
    seed: int = 0,
    lag: int = 4,
    sampler: Layer = Layer("random"),
    stopping: Layer = Layer("none"),
    budget: Budget | None = None,
    space: Space | None = None,
) -> Plan:
    search = SearchSettings(
        sampler=sampler,
        budget=budget or Budget(trials=trials),
        seed=seed,
        lag=lag,
        objectives=(Objective("error", "min"),),
        stopping=stopping,
    )
    task = TaskSpec("toy", Layer.of("parity", length=4))
    return Plan(name, task, "", {}, space or example_space(), Catalog(), search)


def three() -> Space:
    """A space of three architectures."""
    catalog = example_space().catalog

    def made(width: int) -> Architecture:
        return Architecture(width, (), training=Layer.of("sgd", lr=0.01))

    return Space(Record(made, (("width", pick(map(Fixed, (16, 32, 64)))),)), catalog)


def run(
    store: Store,
    of: Plan,
    backend: Backend,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> str:
    return run_study(of, store, backend, watch)


def history(store: Store, name: str = "toy", phase: str = "search") -> list[Trial]:
    found = store.find_study(name)
    assert found is not None
    return store.history(found.id, phase)


def study_id(store: Store, name: str = "toy") -> int:
    found = store.find_study(name)
    assert found is not None
    return found.id


def states(trials: Sequence[Trial]) -> list[State]:
    return [trial.state for trial in trials]
