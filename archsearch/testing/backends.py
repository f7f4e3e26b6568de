"""The promise of a backend as tests: subclass and say how it is opened."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from archsearch.execute.backend import Backend
from archsearch.execute.inline import RUN_JOB, InlineBackend
from archsearch.execute.job import Job
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.spec.trial import Limit, Outcome, State
from archsearch.tasks.open import open_task
from archsearch.testing.faults import BEHAVE, fault_job

PATIENCE = 60.0


def everything(backend: Backend, jobs: Iterable[Job]) -> dict[int, Outcome]:
    """Submit the jobs and collect until all are back: outcomes by trial."""
    waiting = {}
    for job in jobs:
        backend.submit(job)
        waiting[job.trial] = job
    outcomes: dict[int, Outcome] = {}
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        for job, outcome in backend.collect(timeout=1.0):
            assert waiting.pop(job.trial) == job, "an outcome came with another job, or twice"
            outcomes[job.trial] = outcome
    assert not waiting, f"no outcome for trials {sorted(waiting)}"
    return outcomes


def gone(pids: Iterable[int], within: float = 5.0) -> bool:
    """Whether all these processes end in time; a zombie has ended."""
    deadline = time.monotonic() + within
    return all(_ended(pid, deadline) for pid in pids)


def _ended(pid: int, deadline: float) -> bool:
    while True:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)


def training_jobs(folder: Path) -> list[Job]:
    """Real trainings that last a moment: one is kept, one stopped, one confirmed, one refused."""
    task = TaskSpec("parity", Layer.of("parity", length=12))
    training = Layer.of("adamw", steps=12, batch=8, evaluations=3)
    data = open_task(task).fingerprint

    def job(trial: int, cell: Layer) -> Job:
        return Job(
            trial=trial,
            title=cell.name,
            task=task,
            data=data,
            architecture=Architecture(8, (Stage((Block(cell),)),), training=training),
            seed=1000 + trial,
            objectives=(Objective("accuracy", "max"),),
        )

    jobs = [job(k, Layer(cell)) for k, cell in enumerate(("gru", "lstm", "lru", "gru"))]
    jobs[0] = replace(jobs[0], keep=str(folder / "kept" / "0.safetensors"))
    jobs.append(replace(jobs[1], trial=4, limits=(Limit(5, ((-1.5,),)),)))
    jobs.append(replace(jobs[1], trial=5, protocol="confirm"))
    jobs.append(job(6, Layer.of("attention", heads=3)))
    return jobs


class BackendContract:
    """Owed by every backend. ``run`` names the function that turns a job into an outcome."""

    @abstractmethod
    def open(self, run: str, workers: int) -> Backend:
        """A backend with so many workers, or fewer if it has no choice."""

    def test_every_job_has_one_outcome(self) -> None:
        jobs = [fault_job(k, "complete") for k in range(7)]
        with self.open(BEHAVE, 2) as backend:
            outcomes = everything(backend, jobs)
            assert backend.collect(timeout=0.1) == []
        seeds = {trial: outcome.metric("seed") for trial, outcome in outcomes.items()}
        assert seeds == {k: float(k) for k in range(7)}

    def test_two_hundred_jobs(self) -> None:
        with self.open(BEHAVE, 2) as backend:
            outcomes = everything(backend, (fault_job(k, "complete") for k in range(200)))
        assert {outcome.state for outcome in outcomes.values()} == {State.COMPLETE}

    def test_nothing_to_collect(self) -> None:
        with self.open(BEHAVE, 1) as backend:
            assert backend.collect() == []

    def test_a_float_arrives_as_it_left(self) -> None:
        with self.open(BEHAVE, 1) as backend:
            outcome = everything(backend, [fault_job(0, "complete")])[0]
        assert outcome.metric("third") == 1 / 3

    @pytest.mark.parametrize(
        ("title", "state", "message"),
        [
            ("raise", State.CRASHED, "ValueError: the width is odd (archsearch/testing/faults.py:"),
            ("quit", State.CRASHED, "SystemExit: leaving early"),
            ("refuse", State.INVALID, "heads do not divide the width"),
            ("starve", State.OOM, "out of memory"),
        ],
    )
    def test_what_a_job_raises_is_its_outcome(self, title: str, state: State, message: str) -> None:
        with self.open(BEHAVE, 1) as backend:
            outcomes = everything(backend, [fault_job(0, title), fault_job(1, "complete")])
        assert outcomes[0].state is state
        assert outcomes[0].message.startswith(message)
        assert "\n" not in outcomes[0].message
        assert not outcomes[0].lost
        assert outcomes[1].state is State.COMPLETE

    def test_closing_twice_is_closing_once(self) -> None:
        backend = self.open(BEHAVE, 1)
        backend.submit(fault_job(0, "complete"))
        backend.close()
        backend.close()

    def test_trainings_equal_the_inline_ones_to_the_last_bit(self, tmp_path: Path) -> None:
        here, there = training_jobs(tmp_path / "here"), training_jobs(tmp_path / "there")
        expected = everything(InlineBackend(), here)
        with self.open(RUN_JOB, 2) as backend:
            found = everything(backend, there)
        states = [expected[k].state for k in range(len(here))]
        assert states[:6] == [State.COMPLETE] * 4 + [State.STOPPED, State.COMPLETE]
        assert states[6] is State.INVALID
        for trial, outcome in found.items():
            like = expected[trial]
            assert (outcome.state, outcome.metrics) == (like.state, like.metrics)
            assert (outcome.curve, outcome.message) == (like.curve, like.message)
        kept = [Path(str(outcomes[0].weights)).read_bytes() for outcomes in (expected, found)]
        assert kept[0] == kept[1]


class ProcessBackendContract(BackendContract):
    """Owed besides by a backend that runs jobs in processes of their own.

    ``slack`` is how many seconds after its time-out the end of a job is told at the latest, with
    the outcome of the job after it.
    """

    slack = 5.0

    def warm(self, backend: Backend) -> None:
        """Wait until every worker is there and has run a job."""
        everything(backend, [fault_job(k, "complete") for k in range(backend.workers)])

    @pytest.mark.parametrize("title", ["hang", "spin", "deaf", "stop", "shout"])
    def test_a_job_that_hangs_is_timed_out_alone(self, title: str) -> None:
        with self.open(BEHAVE, 1) as backend:
            self.warm(backend)
            began = time.monotonic()
            hanging = fault_job(0, title, timeout=0.3)
            outcomes = everything(backend, [hanging, fault_job(1, "complete")])
        assert time.monotonic() - began < 0.3 + self.slack
        assert outcomes[0].state is State.TIMEOUT
        assert "0.3 s" in outcomes[0].message
        assert dict(outcomes[0].timings)["seconds"] >= 0.3
        assert outcomes[1].state is State.COMPLETE

    @pytest.mark.parametrize(
        ("title", "words"),
        [
            ("exit", ("exit code 3", "about to leave")),
            ("abort", ("SIGABRT", "in behave")),
            ("kill", ("SIGKILL",)),
        ],
    )
    def test_a_worker_that_dies_is_a_crash_and_replaced(
        self, title: str, words: tuple[str, ...]
    ) -> None:
        with self.open(BEHAVE, 1) as backend:
            jobs = [fault_job(0, "complete"), fault_job(1, title), fault_job(2, "complete")]
            outcomes = everything(backend, jobs)
        assert outcomes[1].state is State.CRASHED
        assert outcomes[1].lost
        assert [word for word in words if word not in outcomes[1].message] == []
        assert outcomes[0].state is outcomes[2].state is State.COMPLETE

    @pytest.mark.parametrize("title", ["hog", "creep"])
    def test_too_much_memory_is_the_end_of_one_job(self, title: str) -> None:
        with self.open(BEHAVE, 1) as backend:
            greedy = fault_job(0, title, memory=96 << 20, timeout=30)
            modest = fault_job(1, "complete", memory=96 << 20)
            outcomes = everything(backend, [greedy, modest])
        assert outcomes[0].state is State.OOM
        assert "memory" in outcomes[0].message
        assert dict(outcomes[0].timings)["peak_rss_mb"] > 0
        assert outcomes[1].state is State.COMPLETE

    @pytest.mark.parametrize("title", ["brood", "daemon"])
    def test_children_of_a_job_die_with_it(self, title: str, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        with self.open(BEHAVE, 1) as backend:
            outcomes = everything(backend, [fault_job(0, f"{title} {pids}", timeout=1)])
            assert outcomes[0].state is State.TIMEOUT
            children = [int(pid) for pid in pids.read_text().split()]
            assert len(children) == 2
            assert gone(children)

    @pytest.mark.parametrize("title", ["hang", "brood", "daemon"])
    def test_closing_leaves_no_process(self, title: str, tmp_path: Path) -> None:
        pids = tmp_path / "pids"
        known = _descendants()
        backend = self.open(BEHAVE, 2)
        everything(backend, [fault_job(0, "complete")])
        backend.submit(fault_job(1, f"{title} {pids}"))
        if title != "hang":
            _until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        started = _descendants() - known
        assert started
        backend.close()
        assert gone(started)

    def test_workers_stay_warm(self) -> None:
        with self.open(BEHAVE, 1) as backend:
            outcomes = everything(backend, [fault_job(k, "pid") for k in range(5)])
        assert len({outcome.metric("pid") for outcome in outcomes.values()}) == 1

    def test_jobs_run_side_by_side(self) -> None:
        with self.open(BEHAVE, 2) as backend:
            self.warm(backend)
            began = time.monotonic()
            outcomes = everything(backend, [fault_job(k, "hang", timeout=1.0) for k in range(2)])
            assert time.monotonic() - began < 1.9
        assert {outcome.state for outcome in outcomes.values()} == {State.TIMEOUT}

    def test_collect_does_not_wait_longer_than_told(self) -> None:
        with self.open(BEHAVE, 1) as backend:
            everything(backend, [fault_job(0, "complete")])
            backend.submit(fault_job(1, "hang"))
            began = time.monotonic()
            assert backend.collect(timeout=0.2) == []
            assert time.monotonic() - began < 5


def _descendants() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _until(condition: Callable[[], bool], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
