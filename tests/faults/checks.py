"""What the tests of this project would say of a product: one function for each kind of promise.

Each returns its complaints, none for a product that is right; ``mutants`` holds the products that
are not.
"""

from __future__ import annotations

import importlib
import math
import multiprocessing
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from simulation import simulate
from stand_ins import Disorderly, Orderly, calls_to_the_disk, lies
from toy_study import results, run, undisturbed

from archsearch.errors import StateError
from archsearch.execute import run_job as running
from archsearch.execute.checkpoints import generations
from archsearch.execute.files import written_whole
from archsearch.execute.run_job import run_job
from archsearch.execute.saver import Saver
from archsearch.search import bayesian
from archsearch.spec.trial import State
from archsearch.store.database import Database
from archsearch.store.store import open_store
from archsearch.testing.backends import training_jobs
from archsearch.testing.faults import fault_job
from archsearch.train import fit as training
from archsearch.train.checkpoint import Checkpoint

TESTS = Path(__file__).parent.parent
HISTORIES = 100
# 1 is NORMAL, 3 is EXTRA
FULL = 2
PLAN = ("toy", 20, "tpe", 0)


def histories() -> list[str]:
    """Complaints of the first history in which something goes wrong."""
    for seed in range(HISTORIES):
        _, found = simulate(seed)
        if found:
            return [f"history {seed}: {words}" for words in found]
    return []


def store_machine() -> list[str]:
    """The machine that holds a store against its model, on the same examples every time."""
    once = settings(
        max_examples=40,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    machine = of_tests("store", "test_store_machine").TwoDrivers
    return complaint(lambda: run_state_machine_as_test(machine, settings=once))


def durable() -> list[str]:
    """The connections of a database, reading and writing, sync each commit to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        opened = Database(f"sqlite:///{folder}/studies.db")
        levels = [
            work(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar_one())
            for work in (opened.read, opened.write)
        ]
        opened.close()
    return [f"synchronous is {level}, not {FULL} or more" for level in levels if level < FULL]


def synced() -> list[str]:
    """A file is synced before it gets its name, and its folder after."""
    with tempfile.TemporaryDirectory() as folder, calls_to_the_disk() as seen:
        path = Path(folder).resolve() / "checkpoint"
        with written_whole(path) as stream:
            stream.write(b"whole")
        file, place = path.stat().st_ino, path.parent.stat().st_ino
    expected = [("sync", file), ("rename", file), ("sync", place)]
    return [] if seen == expected else [f"{seen} instead of {expected}"]


def late_worker() -> list[str]:
    """A worker of an earlier attempt leaves the checkpoints of the present one alone."""
    with tempfile.TemporaryDirectory() as folder:
        job = replace(fault_job(0, "late"), checkpoints=folder, checkpoint_seconds=0.0)
        notes: list[str] = []
        late, present = Saver(job, notes), Saver(replace(job, epoch=2), notes)
        present(lambda: at_step(2))
        place = Path(folder) / job.key
        before = {path.name: path.read_bytes() for path in place.iterdir()}
        found = generations(place)
        late(lambda: at_step(5))
        after = {path.name: path.read_bytes() for path in place.iterdir()}
    if [(one.epoch, one.step) for one in found] != [(2, 2)]:
        return [f"no checkpoint to begin with: {found}, {notes}"]
    return [] if after == before else [f"a late worker wrote {sorted(set(after) - set(before))}"]


def damaged_studies() -> list[str]:
    """A study whose file was cut or edited is refused, and none of its trials changes."""
    edits = (
        "UPDATE result SET metrics = replace(metrics, '0.', '1.')",
        "UPDATE trial SET seed = seed + 1 WHERE idx = 3",
        "UPDATE study SET fingerprint = replace(fingerprint, 'random', 'tpe')",
    )
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "studies.db"
        with open_store(f"sqlite:///{path}") as store:
            run(store, ("toy", 8, "random", 0), Orderly())
        whole = path.read_bytes()
        for harm in ("", *edits):
            path.write_bytes(whole if harm else whole[: len(whole) // 2])
            if harm:
                with closing(sqlite3.connect(path)) as raw, raw:
                    raw.execute(harm)
            found += [f"{words} after {harm or 'a cut'}" for words in not_refused(path)]
    return found


def not_refused(path: Path) -> Iterator[str]:
    """What was done with the studies in a damaged file, where nothing should have been."""
    before = trials_in(path)
    if not complaint(lambda: read_through(path)):
        yield "a study was read"
    try:
        with open_store(f"sqlite:///{path}") as store:
            run(store, ("toy", 12, "random", 0), Orderly())
        yield "a study was continued"
    except StateError:
        if trials_in(path) != before:
            yield "a study was written to"


def read_through(path: Path) -> None:
    """Whatever a reader would be shown of the studies in a file."""
    with open_store(f"sqlite:///{path}", read_only=True) as store:
        for study in store.studies():
            store.history(study.id)


def trials_in(path: Path) -> list[str] | bytes:
    """All that is stored of trials; the bytes of a file that cannot be read."""
    with closing(sqlite3.connect(path)) as raw:
        try:
            told = list(raw.iterdump())
        except sqlite3.DatabaseError:
            return path.read_bytes()
    return [line for line in told if not line.startswith('INSERT INTO "study"')]


def timing() -> list[str]:
    """The same study whatever the order in which the workers answer."""
    expected = undisturbed(PLAN)
    for seed in range(3):
        with open_store("sqlite://") as store:
            if results(store, run(store, PLAN, Disorderly(seed))) != expected:
                return [f"another study in the order of answers {seed}"]
    return []


def processes() -> list[str]:
    """The same study in another process."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_tell, args=(theirs,))
    child.start()
    there = ours.recv()
    child.join()
    return [] if there == undisturbed(PLAN) else ["another study in another process"]


def lying_worker() -> list[str]:
    """What is not a number reaches neither the model of the sampler nor the limits of a job."""
    told: list[float] = []
    original = bayesian.optuna.trial.create_trial

    def overheard(**what: Any) -> Any:
        told.extend(what.get("values") or ())
        return original(**what)

    backend = Orderly(lies)
    with pytest.MonkeyPatch.context() as patch, open_store("sqlite://") as store:
        patch.setattr(bayesian.optuna.trial, "create_trial", overheard)
        found = complaint(lambda: run(store, ("toy", 40, "tpe", 0), backend))
    bounds = [v for job in backend.seen for limit in job.limits for p in limit.front for v in p]
    if not found and not (told and bounds):
        return ["neither the model nor the limits were asked"]
    bad = [value for value in (*told, *bounds) if not math.isfinite(value)]
    return found + [f"{value} was believed" for value in bad[:1]]


def divergence() -> list[str]:
    """A training whose loss, gradient or metric is not a number ends there and says so."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        job = replace(training_jobs(Path(folder))[1], seed=5)
    for poison, words in ((_loss, "the training loss is nan at step 1"), (_metric, "is nan")):
        with pytest.MonkeyPatch.context() as patch:
            poison(patch)
            outcome = run_job(job)
        if outcome.state is not State.DIVERGED or words not in outcome.message:
            found.append(f"{poison.__name__}: {outcome.state} {outcome.message}")
    return found


def twice_the_same_key() -> list[str]:
    """The files of the corpus with a key that is there twice."""
    corpus = of_tests("bad", "corpus")
    found = []
    for row in corpus.rows():
        if row.category == "D-keys" and "again" in row.text and row.path.exists():
            done = corpus.run(["validate", str(row.path)])
            found += complaint(lambda: corpus.judge(row, done, str(row.path)))  # noqa: B023
    return found


def complaint(work: Callable[[], object]) -> list[str]:
    """What it raised, in a line."""
    try:
        work()
    except Exception as error:
        return [f"{type(error).__name__}: {error}".splitlines()[0]]
    return []


def of_tests(folder: str, module: str) -> ModuleType:
    """A module of the tests in another folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / folder))
        return importlib.import_module(module)


def at_step(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((2,), float(step))}, {"step": step})


def _tell(pipe: Connection) -> None:
    pipe.send(undisturbed(PLAN))


def _loss(patch: pytest.MonkeyPatch) -> None:
    original = training.model_loss
    patch.setattr(training, "model_loss", lambda *given: original(*given) * np.nan)


def _metric(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(running, "judge", lambda *_: {"accuracy": math.nan})
