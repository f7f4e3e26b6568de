"""From what a driver reports to the page of gauges."""

from __future__ import annotations

import math

from archsearch.gauges import page
from archsearch.gauges.page import Sink
from archsearch.select.ranking import feasible, losses
from archsearch.spec.trial import State, Trial
from archsearch.store.records import Cost
from archsearch.study.course import Progress
from archsearch.study.plan import Plan


class Meter:
    """Watches the driver of one study and fills a sink.

    What earlier drivers did is counted when a phase begins, so that counters go on where they
    stood and do not fall back to zero with a restart.
    """

    def __init__(self, plan: Plan, sink: Sink) -> None:
        self._study, self._sink = plan.name, sink
        self._objectives, self._constraints = plan.search.objectives, plan.search.constraints
        self._best = [math.inf for _ in self._objectives]
        self._cost, self._lost = Cost(), 0
        self._phase = ""

    def __call__(self, report: Progress) -> None:
        if report.phase != self._phase:
            self._begin(report)
        if report.trial is not None and report.trial.state.final:
            self._ended(report.phase, report.trial)
        self._stand(report)

    def stop(self) -> None:
        """Nothing of the study runs any more; a cluster may go on showing what it heard last."""
        if self._phase:
            self._sink.put(page.RUNNING, 0.0, study=self._study, phase=self._phase)
            self._sink.put(page.WORKERS, 0.0, study=self._study)

    def _begin(self, report: Progress) -> None:
        if self._phase:
            for gauge in (page.RUNNING, page.WAITING):
                self._sink.put(gauge, 0.0, study=self._study, phase=self._phase)
        self._phase = report.phase
        for state in State:
            if state.final:
                self._count(report.phase, state, 0.0)
        told = None if report.trial is None else report.trial.index
        for trial in report.trials:
            if trial.state.final and trial.index != told:
                self._ended(report.phase, trial)

    def _ended(self, phase: str, trial: Trial) -> None:
        self._count(phase, trial.state, 1.0)
        seconds = dict(trial.outcome.timings).get("seconds")
        if seconds is not None and math.isfinite(seconds):
            self._sink.observe(page.SECONDS, seconds, study=self._study, phase=phase)
        if phase != "search" or not feasible(trial, self._constraints):
            return
        for place, loss in enumerate(losses(trial, self._objectives) or ()):
            if loss < self._best[place]:
                self._best[place] = loss
                objective = self._objectives[place]
                value = objective.loss(loss)
                self._sink.put(page.BEST, value, study=self._study, metric=objective.metric)

    def _count(self, phase: str, state: State, amount: float) -> None:
        self._sink.add(page.TRIALS, amount, study=self._study, phase=phase, state=str(state))

    def _stand(self, report: Progress) -> None:
        study, phase, sink = self._study, report.phase, self._sink
        sink.put(page.RUNNING, report.running, study=study, phase=phase)
        if report.total is not None:
            waiting = max(report.total - report.finished - report.running, 0)
            sink.put(page.WAITING, waiting, study=study, phase=phase)
        sink.put(page.WORKERS, report.workers, study=study)
        cpu, gpu = report.cost.cpu_seconds, report.cost.gpu_seconds
        sink.add(page.COST, cpu - self._cost.cpu_seconds, study=study, resource="cpu")
        sink.add(page.COST, gpu - self._cost.gpu_seconds, study=study, resource="gpu")
        sink.add(page.LOST, report.lost - self._lost, study=study)
        self._cost, self._lost = report.cost, report.lost
