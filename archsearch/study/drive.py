"""Keeps a backend busy with the trials of one phase and commits what comes of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from archsearch.errors import MAKE_ROOM, TryAgainError
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.failpoints import failpoint
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.records import Cost
from archsearch.store.store import Store
from archsearch.study.course import Batch, Course, Ended, Phase, Progress
from archsearch.study.folder import Folder

LEASE_SECONDS = 30.0
# what a job may take to end or to write a checkpoint when the study is stopped
STOP_SECONDS = 10.0
# trials begun in one commit, of those that the store has answers to; bounds what a crash undoes
LARGEST_BATCH = 64
# trials of an earlier driver that are worth being kept out of the way
MANY = 5_000
# what is known of an attempt that a former driver left behind
WITH_DRIVER = Outcome(State.CRASHED, message="the driver was lost", lost=True)


class Driver:
    """The only writer of a study: starts trials, hands out jobs, commits outcomes.

    What has finished and what begins next is one commit, since a durable one may take longer than
    all else. A trial is committed as started before a worker sees it, and as finished no later
    than what depends on it, so that a crash at any moment loses no committed outcome and repeats
    no finished trial. One that was not finished goes on from its last checkpoint in ``folder``.
    """

    def __init__(
        self,
        store: Store,
        study: int,
        backend: Backend,
        watch: Callable[[Progress], None],
        lease: float = LEASE_SECONDS,
        folder: Folder | None = None,
    ) -> None:
        self.store, self.study = store, study
        self.backend, self.watch = backend, watch
        self.folder = folder or Folder(None, store.folder)
        self._between_signs = lease / 3
        self.cost = store.ledger(study)
        self.lost = 0
        self._active_before = store.active_seconds(study)
        self._began = self._written = time.monotonic()

    @property
    def active_seconds(self) -> float:
        """Wall-clock seconds that the study has been worked on, earlier drivers included."""
        return self._active_before + time.monotonic() - self._began

    def drive(self, phase: Phase) -> Ended:
        """Run the phase to its end; continues where a former driver stopped.

        On KeyboardInterrupt, what runs is given ten seconds to end or to write a checkpoint.
        Raises TryAgainError once the disk has no room for another trial, or for what came of one.
        """
        trials = self.store.history(self.study, phase.name)
        unfinished = [trial for trial in trials if not trial.state.final]
        if len(trials) > MANY:
            # they stay until the end; to look among them for garbage takes seconds each time
            gc.freeze()
        course = Course(phase, trials, finished=len(trials) - len(unfinished))
        self.folder.tidy(phase.name, {phase.job(trial, trials).key for trial in unfinished})
        try:
            for trial in unfinished:
                self._again(course, trial, WITH_DRIVER)
            self._tell(course)
            self._go_on(course, Batch())
            while course.epochs or course.ended is None:
                if course.full is not None and not course.epochs:
                    raise TryAgainError(course.full)
                arrived = self.backend.collect(timeout=min(1.0, self._between_signs))
                self._take(course, arrived)
                for line in self.backend.news():
                    self._tell(course, news=line)
                self._renew()
            if course.stuck is not None:
                raise TryAgainError(course.stuck)
        except KeyboardInterrupt:
            batch = Batch()
            self._finish(course, batch, self.backend.stop(STOP_SECONDS))
            self._commit(course, batch)
            raise
        return course.ended

    def _take(self, course: Course, arrived: Sequence[tuple[Job, Outcome]]) -> None:
        """Commit what came of jobs, and begin what can be begun now."""
        batch = Batch()
        self._finish(course, batch, arrived)
        lost = [(job, outcome) for job, outcome in arrived if outcome.lost]
        if lost:
            self._commit(course, batch)
            batch = Batch()
        for job, outcome in lost:
            self._again(course, course.trials[job.trial], outcome)
        self._go_on(course, batch)

    def _finish(self, course: Course, batch: Batch, arrived: Sequence[tuple[Job, Outcome]]) -> None:
        """Put into the batch what came of jobs that were not lost."""
        for job, outcome in arrived:
            if not outcome.state.final:
                del course.epochs[job.trial]
                course.stuck = f"{outcome.message}; {MAKE_ROOM}"
            elif not outcome.lost:
                trial = replace(course.trials[job.trial], outcome=outcome)
                course.trials[job.trial] = trial
                batch.finished.append((trial, course.epochs.pop(job.trial), job))
                self._pay(outcome)

    def _go_on(self, course: Course, batch: Batch) -> None:
        """Begin trials until no worker is free, and commit them with what is in the batch."""
        while True:
            try:
                self._fill(course, batch)
            except BaseException:
                # whatever is wrong with the next trial, those before it are done
                self._commit(course, Batch(batch.finished))
                raise
            if not batch.finished and not batch.begun:
                return
            self._commit(course, batch)
            batch = Batch()

    def _fill(self, course: Course, batch: Batch) -> None:
        finished = {job.key for _, _, job in batch.finished}
        course.full = course.stuck
        while (
            course.full is None
            and course.ended is None
            and len(course.epochs) < self.backend.workers
            and len(batch.begun) < LARGEST_BATCH
        ):
            coming = course.phase.next(course.trials)
            if coming is None:
                return
            if isinstance(coming, Ended):
                course.ended = coming
                return
            course.full = self.folder.shortage
            if course.full is not None:
                return
            job = course.phase.job(coming, course.trials)
            if job.key in finished:
                # its answer is in the store once the batch is
                return
            known = self._answer(job)
            if known is None:
                course.epochs[coming.index] = job.epoch
            else:
                coming = replace(coming, outcome=known)
            course.trials.append(coming)
            batch.begun.append((coming, job))

    def _answer(self, job: Job) -> Outcome | None:
        """What came of the same computation before, at no cost this time."""
        known = self.store.answer(job.key)
        if known is None:
            return None
        costs = ("seconds", "cpu_seconds", "gpu_seconds")
        return replace(known, timings=tuple(pair for pair in known.timings if pair[0] not in costs))

    def _commit(self, course: Course, batch: Batch) -> None:
        kept, _ = self.store.advance(
            self.study,
            finished=[(trial, epoch, trial.outcome) for trial, epoch, _ in batch.finished],
            started=[(trial, job.key) for trial, job in batch.begun],
        )
        self._written = time.monotonic()
        failpoint("study.committed")
        for (trial, _, job), written in zip(batch.finished, kept, strict=True):
            self.folder.forget(job, course.phase.name)
            if not written:
                raise TryAgainError(
                    f"{trial.phase} trial {trial.index} has another result in the store; "
                    "the same command continues from there"
                )
            self._tell(course, trial)
        for trial, job in batch.begun:
            self._tell(course, trial)
            if not trial.state.final:
                failpoint("study.submit")
                self.backend.submit(self.folder.furnished(job, trial.phase))

    def _again(self, course: Course, trial: Trial, lost: Outcome) -> None:
        """Begin the next attempt of a trial that was lost; or learn that it had its last."""
        epoch = self.store.restart(self.study, trial, lost.message, lost.timings)
        self.lost += 1
        self._pay(lost)
        if epoch is None:
            course.epochs.pop(trial.index, None)
            stored = self.store.history(self.study, trial.phase)
            course.trials[trial.index] = stored[trial.index]
            self.folder.forget(course.phase.job(trial, course.trials), trial.phase)
            self._tell(course, stored[trial.index])
            return
        failpoint("study.again")
        course.epochs[trial.index] = epoch
        job = replace(course.phase.job(trial, course.trials), epoch=epoch)
        self.backend.submit(self.folder.furnished(job, trial.phase))

    def _pay(self, outcome: Outcome) -> None:
        spent = dict(outcome.timings)
        self.cost = Cost(
            self.cost.cpu_seconds + spent.get("cpu_seconds", 0.0),
            self.cost.gpu_seconds + spent.get("gpu_seconds", 0.0),
        )

    def _tell(self, course: Course, trial: Trial | None = None, news: str = "") -> None:
        if trial is not None and trial.state.final:
            course.finished += 1
        phase = course.phase
        self.watch(
            Progress(
                phase.name,
                course.finished,
                len(course.epochs),
                phase.total,
                trial,
                course.trials,
                self.backend.workers,
                self.lost,
                self.cost,
                news,
            )
        )

    def _renew(self) -> None:
        if time.monotonic() - self._written > self._between_signs:
            self.store.renew(self.study)
            self._written = time.monotonic()
