"""``archsearch show``: the answer of a study, or everything about one of its trials."""

from __future__ import annotations

import click
from rich.panel import Panel
from rich.table import Table

from archsearch.cli.curves import print_adapted
from archsearch.cli.drawing import draw
from archsearch.cli.options import console, json_option, print_json, storage_option
from archsearch.cli.results import ADAPTED, Result, is_lost, read_result, run_folder
from archsearch.cli.tables import print_result, spark, spell_number, trial_at
from archsearch.serve.manifest import MANIFEST, read_manifest
from archsearch.spec.architecture import to_plain
from archsearch.spec.positions import escape as visible
from archsearch.spec.trial import Trial
from archsearch.store.records import Attempt
from archsearch.store.store import open_store
from archsearch.study.folder import logs_of

EXAMPLE = """\b
Examples:
  archsearch show quickstart
  archsearch show quickstart 17
"""


@click.command(epilog=EXAMPLE)
@click.argument("study")
@click.argument("trial", required=False, type=int)
@storage_option
@json_option
def show(study: str, trial: int | None, storage: str, as_json: bool) -> None:
    """Show the answer of STUDY, or its TRIAL: architecture, metrics, curve, attempts, faults."""
    with open_store(storage, read_only=True) as store:
        result = read_result(store, study)
    if trial is not None:
        _show_trial(result, trial, storage, as_json)
        return
    place = run_folder(storage, result.name) / ADAPTED
    depth = read_manifest(place).depth if (place / MANIFEST).is_file() else None
    if as_json:
        print_json(result.to_plain() | {"depth": depth})
        return
    print_result(console(), result)
    if depth is not None:
        print_adapted(console(), depth, str(place))


def _show_trial(result: Result, index: int, storage: str, as_json: bool) -> None:
    found = trial_at(result, index)
    attempts = [each for each in result.attempts if (each.phase, each.index) == ("search", index)]
    logs = [str(path) for path in logs_of(run_folder(storage, result.name), "search", index)]
    if as_json:
        told = {"attempts": [_plain_attempt(each) for each in attempts], "logs": logs}
        print_json(_plain(found) | told)
        return
    out = console()
    outcome = found.outcome
    out.print(f"[bold]{result.name}, trial {index}[/bold]: {found.state}")
    if outcome.message:
        out.print(visible(outcome.message), markup=False)
    out.print(Panel(draw(found.architecture), title=found.digest, expand=False, highlight=False))
    table = Table(box=None, pad_edge=False)
    for name, value in (*outcome.metrics, *outcome.timings):
        table.add_row(name, spell_number(value))
    out.print(table)
    for metric in dict.fromkeys(name for _, metrics in outcome.curve for name, _ in metrics):
        values = [dict(metrics)[metric] for _, metrics in outcome.curve if metric in dict(metrics)]
        steps = [step for step, _ in outcome.curve]
        out.print(
            f"{metric}: {spark(values)} {spell_number(values[0])} at step {steps[0]}, "
            f"{spell_number(values[-1])} at step {steps[-1]}"
        )
    out.print(f"seed {found.seed}")
    if len(attempts) > 1 or any(map(is_lost, attempts)):
        out.print(_attempts(attempts))
    for path in logs:
        out.print(f"log {path}", markup=False, soft_wrap=True)


def _attempts(attempts: list[Attempt]) -> Table:
    """One line for each time that the trial was begun."""
    table = Table(box=None, pad_edge=False)
    for column in ("attempt", "seconds", "cpu seconds", "driver", "how it ended"):
        table.add_column(column)
    for each in attempts:
        ended = "running" if each.ended is None else each.reason or ""
        table.add_row(
            str(each.epoch),
            "" if each.ended is None else spell_number(each.ended - each.started),
            spell_number(each.cost.cpu_seconds) if each.ended is not None else "",
            each.owner,
            f"lost: {ended}" if is_lost(each) else ended,
        )
    return table


def _plain_attempt(attempt: Attempt) -> dict[str, object]:
    return {
        "epoch": attempt.epoch,
        "driver": attempt.owner,
        "started": attempt.started,
        "ended": attempt.ended,
        "reason": attempt.reason,
        "lost": is_lost(attempt),
        "cpu_seconds": attempt.cost.cpu_seconds,
        "gpu_seconds": attempt.cost.gpu_seconds,
    }


def _plain(trial: Trial) -> dict[str, object]:
    return {
        "index": trial.index,
        "digest": trial.digest,
        "seed": trial.seed,
        "state": str(trial.state),
        "message": trial.outcome.message,
        "metrics": dict(trial.outcome.metrics),
        "timings": dict(trial.outcome.timings),
        "curve": [{"step": step, **dict(metrics)} for step, metrics in trial.outcome.curve],
        "point": dict(trial.point),
        "architecture": to_plain(trial.architecture),
    }
