"""The table across several tasks: one answer for each, and what they amount to together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from archsearch.select.evidence import Evidence, Finding
from archsearch.select.ranking import measured, rank
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Trial


@dataclass(frozen=True)
class TaskResult:
    """What one task's study found; ``evidence`` is None before it was confirmed."""

    task: str
    trials: Sequence[Trial]
    objectives: Sequence[Objective]
    constraints: Sequence[Constraint] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True)
class TaskRow:
    """One task in the table.

    ``value`` is the best trial's on validation. ``mean`` and ``interval`` are the best finalist's
    on test, ``gain`` is over the best baseline (positive is better). What is not known is None.
    """

    task: str
    metric: str
    direction: str
    trials: int
    complete: int
    title: str | None
    digest: str | None
    value: float | None
    params: float | None
    mean: float | None = None
    interval: tuple[float, float] | None = None
    baseline: str | None = None
    gain: float | None = None
    finding: Finding | None = None
    take: str | None = None


def across(results: Sequence[TaskResult]) -> list[TaskRow]:
    """One row for each task, in the given order."""
    return [_row(result) for result in results]


def tally(rows: Sequence[TaskRow]) -> str:
    """How many tasks came to which finding, in words; empty when none was confirmed."""
    findings = [row.finding for row in rows if row.finding is not None]
    words: Mapping[Finding, str] = {
        "better": "better than the best baseline on {}",
        "no gain": "no significant gain on {}",
        "worse": "worse on {}",
        "useless": "not better than a trivial predictor on {}",
    }
    counted = {finding: findings.count(finding) for finding in dict.fromkeys(findings)}
    parts = [words[key].format(counted[key]) for key in words if key in counted]
    rest = sum(count for finding, count in counted.items() if finding not in words)
    if rest:
        parts.append(f"not judged on {rest}")
    tasks = "1 task" if len(findings) == 1 else f"{len(findings)} tasks"
    return f"{', '.join(parts)} of {tasks}" if parts else ""


def _row(result: TaskResult) -> TaskRow:
    objective = result.objectives[0]
    ranked = rank(result.trials, result.objectives, result.constraints)
    winner = ranked[0] if ranked else None
    evidence = result.evidence
    plain = TaskRow(
        task=result.task,
        metric=objective.metric,
        direction=objective.direction,
        trials=len(result.trials),
        complete=sum(trial.state.has_value for trial in result.trials),
        title=winner.architecture.title if winner else None,
        digest=winner.digest if winner else None,
        value=measured(winner, objective.metric) if winner else None,
        params=measured(winner, "params") if winner else None,
    )
    if evidence is None:
        return plain
    best = evidence.candidate(evidence.best) if evidence.best else None
    rival = evidence.candidate(evidence.rival) if evidence.rival else None
    found = evidence.comparison(best.name, rival.name) if best and rival else None
    return replace(
        plain,
        mean=best.mean if best else None,
        interval=best.interval if best else None,
        baseline=rival.title if rival else None,
        gain=found.difference.mean if found else None,
        finding=evidence.finding,
        take=evidence.take,
    )
