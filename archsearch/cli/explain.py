"""``archsearch explain``: what a space holds and what searching it would cost, before it runs."""

from __future__ import annotations

import math
import os
import random
import statistics
import time
from dataclasses import replace
from typing import Any

import click
from rich.panel import Panel
from rich.table import Table

from archsearch.cli.drawing import draw
from archsearch.cli.facts import data_lines
from archsearch.cli.lock import open_space
from archsearch.cli.options import (
    console,
    json_option,
    parse_assignments,
    print_json,
    set_option,
    space_argument,
)
from archsearch.cli.plans import plans_of
from archsearch.cli.space import spell_count
from archsearch.errors import InputError
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.domains import Choice, Domain
from archsearch.study.plan import Plan
from archsearch.tasks.open import open_task

EXAMPLE = """\b
Example:
  archsearch explain search_spaces/quickstart.yaml
"""
TIMED_STEPS = 12
# variances of the stream with which networks of 64 blocks were seen to learn
STEADY = (1e-4, 1e3)


@click.command(epilog=EXAMPLE)
@space_argument
@set_option
@click.option("--samples", default=20, show_default=True, type=click.IntRange(3, 1000),
              help="Architectures drawn for the parameter range.")  # fmt: skip
@json_option
def explain(space: str, assignments: tuple[str, ...], samples: int, as_json: bool) -> None:
    """Say how large a space is, what depends on what, how big its models are, what it costs.

    Builds a sample of the space and trains a few of them for a few steps on the real data.
    """
    file, catalog = open_space(space, parse_assignments(assignments))
    plan = plans_of(file, catalog)[0]
    rng = random.Random(0)
    drawn = [file.space.architecture(file.space.sample(rng)) for _ in range(samples)]
    sizes, unbuildable, unsteady = _sizes(plan, drawn)
    pace = _seconds_per_trial(plan, [architecture for architecture, _ in sizes][:3])
    facts = _facts(plan, sizes, unbuildable, pace) | {"unsteady": unsteady}
    if as_json:
        print_json(facts | {"decisions": _decisions(plan), "samples": [draw(a) for a in drawn[:3]]})
        return
    out = console()
    points = "1 point" if facts["size"] == "1" else f"{facts['size']} points"
    out.print(f"[bold]{plan.name}[/bold] on {plan.task.label}: {points}")
    out.print("\n".join(data_lines(plan.facts["data"])), markup=False)
    table = Table(box=None, pad_edge=False)
    for column in ("decision", "values", "asked"):
        table.add_column(column)
    for line in _decisions(plan):
        table.add_row(line["decision"], line["values"], line["when"])
    out.print(table)
    for fault, count in facts["unbuildable"].items():
        out.print(f"{count} of {samples} samples cannot be built: {fault}", markup=False)
    if sizes:
        low, middle, high = facts["params"]
        out.print(f"parameters: {low:,.0f} to {high:,.0f}, half of the samples below {middle:,.0f}")
    if unsteady:
        out.print(
            f"{unsteady} of {samples} samples begin with a stream of variance below {STEADY[0]:g} "
            f"or above {STEADY[1]:g}, and may not learn; norms, gates that carry the stream, and "
            "init help"
        )
    if pace is not None:
        out.print(f"about {pace:.1f} s a trial; {facts['cost']}")
    for architecture in drawn[:3]:
        out.print(Panel(draw(architecture), title=architecture.digest, expand=False))


def _decisions(plan: Plan) -> list[dict[str, str]]:
    conditions = plan.space.conditions()
    return [
        {"decision": path, "values": _spell(domain), "when": conditions.get(path, "always")}
        for path, domain in plan.space.domains().items()
    ]


def _spell(domain: Domain) -> str:
    if isinstance(domain, Choice):
        return ", ".join(domain.labels)
    step = f" by {domain.step:g}" if domain.step not in (None, 1) else ""
    return f"{domain.low:g} to {domain.high:g}{step}{', log' if domain.log else ''}"


def _sizes(
    plan: Plan, drawn: list[Architecture]
) -> tuple[list[tuple[Architecture, float]], dict[str, int], int]:
    """Numbers of parameters, why others cannot be built, and how many begin with odd variances."""
    from archsearch.build import build, stream_variance
    from archsearch.train.tensors import device_of, tensors

    task = open_task(plan.task)
    signature = task.signature
    batch = next(iter(task.evaluation("validation", 8)))
    unsteady = 0
    sizes: list[tuple[Architecture, float]] = []
    faults: dict[str, int] = {}
    for architecture in drawn:
        try:
            model = build(architecture, plan.catalog, signature, seed=0)
        except InputError as error:
            fault = str(error).partition(": ")[2] or str(error)
            faults[fault] = faults.get(fault, 0) + 1
        else:
            sizes.append((architecture, float(sum(p.numel() for p in model.parameters()))))
            # not so where it is no number either
            variance = stream_variance(model, tensors(batch, device_of(model)).inputs)
            unsteady += not STEADY[0] <= variance <= STEADY[1]
    return sizes, faults, unsteady


def _seconds_per_trial(plan: Plan, drawn: list[Architecture]) -> float | None:
    """Training time of whole trials, from the first steps of a few of them on one core."""
    # torch reads this when it is first imported, which is here
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from archsearch.build import build
    from archsearch.train.fit import fit

    task = open_task(plan.task)
    seconds = []
    for architecture in drawn:
        model = build(architecture, plan.catalog, task.signature, seed=0)
        steps = int(str(architecture.training["steps"]))
        few = min(TIMED_STEPS, steps)
        # the first step of all compiles what is then at hand for every trial
        for length in (1, few):
            # what finding a rate takes is not a part of every step
            training = _with(architecture.training, steps=length, evaluations=1, lr_unit="given")
            began = time.perf_counter()
            fit(
                model,
                task,
                training,
                architecture.sparsity,
                seed=0,
                report=lambda step, metrics: True,
                split=None,
            )
        seconds.append((time.perf_counter() - began) / few * steps)
    return statistics.median(seconds) if seconds else None


def _with(training: Layer, **options: int | str) -> Layer:
    return replace(training, options=tuple({**dict(training.options), **options}.items()))


def _facts(
    plan: Plan,
    sizes: list[tuple[Architecture, float]],
    unbuildable: dict[str, int],
    pace: float | None,
) -> dict[str, Any]:
    size = plan.space.size()
    counts = sorted(count for _, count in sizes)
    trials, workers = plan.search.budget.trials, plan.execution.workers
    facts: dict[str, Any] = {
        "study": plan.name,
        "data": plan.facts["data"],
        "size": "infinitely many" if math.isinf(size) else spell_count(int(size)),
        "unbuildable": unbuildable,
        "params": [counts[0], statistics.median(counts), counts[-1]] if counts else None,
        "seconds_per_trial": pace,
    }
    if pace is not None and trials is not None:
        confirm = plan.confirm
        extra = 0
        if confirm is not None:
            from archsearch.sparsity.roles import UNLEARNED

            judged = confirm.finalists + len(confirm.baselines)
            learned = any(a.sparsity.name not in UNLEARNED for a, _ in sizes)
            extra = (judged + learned * confirm.masks) * confirm.seeds + 3 * len(confirm.baselines)
        total = pace * (trials + extra)
        facts["cost"] = (
            f"{trials} trials and {extra} trainings to confirm: {total / 60:.1f} core-minutes"
            + (f", {total / 60 / workers:.1f} minutes on {workers} workers" if workers else "")
        )
    return facts
