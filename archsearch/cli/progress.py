"""What a person sees while a study runs: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import State, Trial
from archsearch.study.drive import Progress as Report

TITLES = {"search": "search", "tune": "tune baselines", "confirm": "confirm on test"}


class Watcher:
    """Receives the driver's reports; shows trials done, running, the best so far and the ETA."""

    def __init__(
        self,
        label: str,
        objectives: tuple[Objective, ...],
        constraints: tuple[Constraint, ...],
        quiet: bool = False,
    ) -> None:
        self.label, self.objectives, self.constraints = label, objectives, constraints
        self.quiet = quiet
        self.best: Trial | None = None
        self.trouble = 0
        self._live = Console(stderr=True).is_terminal and not quiet
        self._phase = ""
        self._seen_at_start = 0
        self._phase_began = 0.0
        self._task: TaskID | None = None
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, report: Report) -> None:
        if report.phase != self._phase:
            self._begin(report)
        if report.trial is not None and report.trial.state.final:
            self._note(report)
        if self._live and self._task is not None:
            self._bar.update(
                self._task,
                completed=report.finished,
                state=self._state(report),
                eta=self._eta(report),
            )

    def _begin(self, report: Report) -> None:
        self._phase, self._seen_at_start = report.phase, report.finished
        self._phase_began = time.monotonic()
        title = " · ".join(filter(None, [self.label, TITLES.get(report.phase, report.phase)]))
        if self._live:
            self._task = self._bar.add_task(title, total=report.total, state="", eta="")
        elif not self.quiet:
            count = f" of {report.total}" if report.total else ""
            click.echo(f"{title}: {report.finished}{count} trials done before", err=True)

    def _note(self, report: Report) -> None:
        trial = report.trial
        assert trial is not None
        if trial.state not in (State.COMPLETE, State.STOPPED):
            self.trouble += 1
        better = report.phase == "search" and self._is_better(trial)
        if better:
            self.best = trial
        if self._live or self.quiet:
            return
        mark = " *" if better else ""
        total = f"/{report.total}" if report.total else ""
        name = trial.role or f"trial {trial.index}"
        click.echo(
            f"[{report.finished}{total}] {name} · {trial.architecture.title}: "
            f"{trial.state}{self._values(trial)}{mark}",
            err=True,
        )

    def _is_better(self, trial: Trial) -> bool:
        if not trial.state.has_value or not all(
            constraint.holds(trial.outcome.metric(constraint.metric) or 0.0)
            for constraint in self.constraints
        ):
            return False
        return self.best is None or self._loss(trial) < self._loss(self.best)

    def _loss(self, trial: Trial) -> float:
        first = self.objectives[0]
        value = trial.outcome.metric(first.metric)
        return first.loss(value) if value is not None else float("inf")

    def _values(self, trial: Trial) -> str:
        found = [(o.metric, trial.outcome.metric(o.metric)) for o in self.objectives]
        shown = [f"{name} {value:.4g}" for name, value in found if value is not None]
        return ", " + ", ".join(shown) if shown else ""

    def _state(self, report: Report) -> str:
        parts = [f"{report.running} running"]
        if self.trouble:
            parts.append(f"[yellow]{self.trouble} failed[/yellow]")
        if self.best is not None and report.phase == "search":
            parts.append(f"best{self._values(self.best)[1:]}")
        return ", ".join(parts)

    def _eta(self, report: Report) -> str:
        done = report.finished - self._seen_at_start
        if not report.total or done < 2:
            return ""
        pace = (time.monotonic() - self._phase_began) / done
        left = pace * (report.total - report.finished)
        return f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"
