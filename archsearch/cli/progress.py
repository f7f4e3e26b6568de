"""What a person sees while a study runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import click
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from archsearch.select.ranking import feasible, losses, measured
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import State, Trial
from archsearch.study.course import Progress as Report

TITLES = {
    "search": "search",
    "tune": "tune baselines",
    "confirm": "confirm on test",
    "masks": "random masks",
}
TITLE_WIDTH = max(map(len, TITLES.values()))
ROOMY = 96


class Watcher:
    """Receives the driver's reports; shows trials done, running, the best so far and the ETA.

    ``clock`` gives seconds; ``out`` is a console other than the one on stderr.
    """

    def __init__(
        self,
        label: str,
        objectives: tuple[Objective, ...],
        constraints: tuple[Constraint, ...],
        quiet: bool = False,
        *,
        out: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.objectives, self.constraints = label, objectives, constraints
        self.quiet = quiet
        self.best: Trial | None = None
        self.trouble = 0
        self._out = out or Console(stderr=True, highlight=False)
        self._clock = clock
        self._live = self._out.is_terminal and not quiet
        self._roomy = self._out.width >= ROOMY
        self._phase = ""
        self._seen_at_start = 0
        self._phase_began = 0.0
        self._task: TaskID | None = None
        self._bar = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24 if self._roomy else 12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}"),
            console=self._out,
            get_time=clock,
        )

    def __enter__(self) -> Self:
        if self._live:
            self._out.print(f"[bold]{self.label}[/bold]")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            if error is None:
                self._end()
            self._bar.stop()

    def bars(self) -> RenderableType:
        """The bars as they stand."""
        return self._bar.get_renderable()

    def __call__(self, report: Report) -> None:
        if report.phase != self._phase:
            self._begin(report)
        if report.trial is not None and report.trial.state.final:
            self._note(report)
        if report.news and not self.quiet:
            self._out.print(f"{self.label}: {report.news}", markup=False, soft_wrap=True)
        if self._live and self._task is not None:
            self._bar.update(self._task, completed=report.finished, state=self._state(report))

    def _end(self) -> None:
        """A phase may end before its last trial: the space, the time or the money is used up."""
        for task in self._bar.tasks:
            if not task.finished:
                self._bar.update(task.id, total=task.completed)

    def _begin(self, report: Report) -> None:
        self._phase, self._seen_at_start = report.phase, report.finished
        self._phase_began = self._clock()
        if report.phase == "search":
            for trial in report.trials:
                if self._is_better(trial):
                    self.best = trial
        title = TITLES.get(report.phase, report.phase)
        if self._live:
            self._end()
            padded = title.ljust(TITLE_WIDTH)
            self._task = self._bar.add_task(padded, total=report.total, state="")
        elif not self.quiet:
            trials = "trial" if report.total == 1 else "trials"
            count = trials if report.total is None else f"{report.total} {trials}"
            before = f", {report.finished} of them done before" if report.finished else ""
            click.echo(f"{self.label} · {title}: {count}{before}", err=True)

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
        first = self.objectives[:1]
        loss = losses(trial, first)
        if loss is None or not feasible(trial, self.constraints):
            return False
        best = None if self.best is None else losses(self.best, first)
        return best is None or loss < best

    def _values(self, trial: Trial) -> str:
        found = [(o.metric, measured(trial, o.metric)) for o in self.objectives]
        shown = [f"{name} {value:.4g}" for name, value in found if value is not None]
        return ", " + ", ".join(shown) if shown else ""

    def _state(self, report: Report) -> str:
        """The end of a bar's line, the most telling first: a narrow terminal cuts it off."""
        parts = []
        if self.best is not None and report.phase == "search":
            metric = self.objectives[0].metric
            parts.append(f"best {metric} {measured(self.best, metric):.4g}")
        if self.trouble:
            parts.append(f"[yellow]{self.trouble} failed[/yellow]")
        if left := self._left(report):
            parts.append(left)
        if report.running and self._roomy:
            parts.append(f"{report.running} running")
        return " · ".join(parts)

    def _left(self, report: Report) -> str:
        done = report.finished - self._seen_at_start
        if not report.total or done < 2 or report.finished >= report.total:
            return ""
        pace = (self._clock() - self._phase_began) / done
        left = pace * (report.total - report.finished)
        return f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
