"""A study whose trials last milliseconds and whose results are a pure function of the job."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from journal import Journal, JournaledBackend, JournaledStore

from archsearch import failpoints
from archsearch.errors import ArchsearchError
from archsearch.execute.backend import Backend
from archsearch.execute.checkpoints import (
    Generation,
    Manifest,
    generations,
    read_manifest,
    write_manifest,
)
from archsearch.execute.files import written_whole
from archsearch.execute.inline import InlineBackend
from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Budget, Objective, SearchSettings, TaskSpec, derived_seed
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.database import Database
from archsearch.store.store import Store, open_store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study
from archsearch.testing.toy import example_space, toy_outcome

JOURNAL = "ARCHSEARCH_TEST_JOURNAL"
LEASE = 0.5
SAMPLERS = {"random": Layer("random"), "tpe": Layer.of("tpe", startup=10)}


def toy_plan(name: str, trials: int, sampler: str = "random", seed: int = 0) -> Plan:
    """Everything of the study but its trials; the same name and arguments, the same study."""
    search = SearchSettings(
        sampler=SAMPLERS[sampler],
        budget=Budget(trials=trials),
        seed=seed,
        objectives=(Objective("error", "min"),),
        stopping=Layer("median"),
    )
    task = TaskSpec("toy", Layer.of("parity", length=4))
    return Plan(name, task, "", {}, example_space(), Catalog([]), search)


def answer(job: Job) -> Outcome:
    """What comes of a job, its limits included; a few diverge and crash, always the same ones."""
    kind = derived_seed(job.seed, "kind") % 25
    if kind == 0:
        return Outcome(State.DIVERGED, message="the loss is nan at step 3")
    if kind == 1:
        return Outcome(State.CRASHED, message="ValueError: as it must")
    bits = hashlib.sha256(f"{job.architecture.digest} {job.seed} {job.limits}".encode()).digest()
    noise = struct.unpack("<q", bits[:8])[0] / 2**63
    toy = toy_outcome(job.architecture)
    metrics = tuple((name, value + noise / 1000) for name, value in toy.metrics)
    curve = tuple((step, (("error", metrics[0][1] / step),)) for step in (1, 2, 3))
    return Outcome(State.COMPLETE, metrics, curve)


def work(job: Job) -> Outcome:
    """What a worker runs: the answer after some milliseconds, noted before and after."""
    journal = Journal(os.environ[JOURNAL]) if JOURNAL in os.environ else None
    if journal is not None:
        journal.note("run", trial=job.trial, digest=job.architecture.digest)
    time.sleep(derived_seed(job.seed, "pause") % 25 / 1000)
    outcome = answer(job)
    if journal is not None:
        journal.note("ran", trial=job.trial)
    return outcome


def work_in_steps(job: Job) -> Outcome:
    """The same, with a checkpoint after each of three steps, as a training writes them."""
    if derived_seed(job.seed, "long") % 8 == 0:
        # long enough for the driver to renew its lease
        time.sleep(LEASE / 2)
    folder = Path(str(job.checkpoints)) / job.key
    done, sum_so_far = _taken_up(folder, job)
    for step in range(done + 1, 4):
        sum_so_far += derived_seed(job.seed, "step", step)
        # a checkpoint that cannot be written ends no training
        with contextlib.suppress(OSError, RuntimeError):
            _put_down(folder, job, step, sum_so_far)
    assert sum_so_far == sum(derived_seed(job.seed, "step", step) for step in (1, 2, 3))
    return work(job)


def _put_down(folder: Path, job: Job, step: int, sum_so_far: int) -> None:
    generation, data = Generation(job.epoch, step), str(sum_so_far).encode()
    with written_whole(generation.tensors(folder)) as stream:
        stream.write(data)
    seal, plain = hashlib.sha256(data).hexdigest(), {"step": step}
    write_manifest(folder, Manifest(job.key, generation, len(data), seal, {}, plain))


def _taken_up(folder: Path, job: Job) -> tuple[int, int]:
    for generation in generations(folder):
        manifest = read_manifest(folder, generation)
        data = generation.tensors(folder).read_bytes()
        assert manifest.key == job.key
        assert manifest.sha256 == hashlib.sha256(data).hexdigest()
        return generation.step, int(data)
    return 0, 0


def drive(
    url: str,
    plan: tuple[Any, ...],
    journal: str,
    workers: int,
    lease: float,
    run: str = "work",
    fault: dict[str, str] | None = None,
) -> None:
    """A driver of the study, from opening the database to its end; leaves with an exit code."""
    os.environ[JOURNAL] = journal
    os.environ.update(fault or {})
    failpoints.arm()
    notes = Journal(journal)
    notes.note("driver")

    def acknowledge(progress: Progress) -> None:
        if progress.trial is not None and progress.trial.state.final:
            notes.note("acknowledged", trial=progress.trial.index, state=progress.trial.state)

    try:
        with (
            JournaledStore(Database(url), notes) as store,
            LocalBackend(workers, run=run if ":" in run else f"toy_study:{run}") as backend,
        ):
            run_study(
                toy_plan(*plan),
                store,
                JournaledBackend(backend, notes),
                acknowledge,
                Path(journal).parent / "run",
                lease,
            )
    except ArchsearchError as error:
        notes.note("left", error=type(error).__name__, words=str(error))
        sys.exit(error.exit_code)
    except BaseException:
        notes.note("broke", trace=traceback.format_exc())
        raise
    notes.note("done")


def undisturbed(plan: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """What the study comes to when nothing happens: in one process, in memory."""
    with open_store("sqlite://") as store, InlineBackend("toy_study:answer") as backend:
        return results(store, run(store, plan, backend))


def run(store: Store, plan: tuple[Any, ...], backend: Backend) -> int:
    run_study(toy_plan(*plan), store, backend, lambda _: None)
    found = store.find_study(plan[0])
    assert found is not None
    return found.id


def results(store: Store, study: int) -> list[tuple[Any, ...]]:
    """All of every trial that may not depend on how the study was run, floats by their bits."""
    return [canonical(trial) for trial in store.history(study)]


def canonical(trial: Trial) -> tuple[Any, ...]:
    outcome = trial.outcome
    values = [(name, value.hex()) for name, value in outcome.metrics]
    curve = [(step, name, value.hex()) for step, seen in outcome.curve for name, value in seen]
    return (trial.index, trial.digest, trial.seed, trial.point, str(trial.state), values, curve)
