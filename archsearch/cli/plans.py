"""From a space file to one plan per task: opens the data, resolves what was left open."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from archsearch.errors import InputError
from archsearch.plugins import distributions
from archsearch.spec.catalog import Catalog, suggestion
from archsearch.spec.settings import DEPTH_AUC, MEASURED, TIMED, Objective
from archsearch.spec.spacefile import SpaceFile
from archsearch.study.plan import Plan
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Task


def plans_of(file: SpaceFile, catalog: Catalog, name: str | None = None) -> list[Plan]:
    """One plan per task of the file, its data opened and checked; raises InputError."""
    return [
        _plan(file, catalog, name or file.name, position) for position in range(len(file.tasks))
    ]


def _plan(file: SpaceFile, catalog: Catalog, name: str, position: int) -> Plan:
    spec = file.tasks[position]
    task = open_task(spec)
    objectives = file.search.objectives or task.metrics[:1]
    _check_metrics("objectives", [o.metric for o in objectives], task)
    _check_metrics("constraints", [c.metric for c in file.search.constraints], task)
    return Plan(
        name=name if len(file.tasks) == 1 else f"{name}/{slug(spec.label)}",
        task=spec,
        data=task.fingerprint,
        facts=facts_of(task) | {"preparation": open_task(spec, "confirm").preparation()},
        space=file.space,
        catalog=catalog,
        search=replace(file.search, objectives=_judged_first(objectives)),
        confirm=file.confirm,
        execution=file.execution,
        plugins={name: what.to_plain() for name, what in distributions(catalog).items()},
        text=file.text,
    )


def facts_of(task: Task) -> dict[str, Any]:
    """What tables and bundles say of a task once its data is no longer at hand."""
    return {
        "kind": task.kind,
        "metrics": [[metric.metric, metric.direction] for metric in task.metrics],
        "chance": task.chance(),
        "trivial": task.baselines("test"),
        "signature": task.signature.to_plain(),
        "data": task.describe(),
    }


def slug(label: str) -> str:
    """A label as a part of a study's name: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-") or "task"


def _judged_first(objectives: Iterable[Objective]) -> tuple[Objective, ...]:
    # finalists are judged by the first objective, which must be one that a test split can answer
    ordered = sorted(objectives, key=lambda o: o.metric in MEASURED + TIMED)
    return tuple(ordered)


def _check_metrics(key: str, names: Iterable[str], task: Task) -> None:
    known = [metric.metric for metric in task.metrics] + [DEPTH_AUC, *MEASURED, *TIMED]
    for name in names:
        if name not in known:
            raise InputError(
                f"search.{key}: expected a metric of {task.kind}: {', '.join(known)}; "
                f"got '{name}'" + suggestion(name, known)
            )
