"""The same kills against archsearch, plain Optuna and Ray Tune: what is lost, repeated or stuck.

    tests/postgres.sh python benchmarks/faults.py               # all rows, about half an hour
    python benchmarks/faults.py --kills 20 --only "ray tune"    # a smaller dose, some rows

Without ``tests/postgres.sh`` the rows of PostgreSQL are left out. Rows that are not run again stay
as they are in benchmarks/results/faults.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sqlite3
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from faults_archsearch import archsearch
from faults_optuna import plain_optuna
from faults_ray import ray_tune
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "faults.json"
POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
PACKAGES = ("archsearch", "optuna", "ray", "sqlalchemy", "psycopg", "torch")
HEADS = {
    "faults": "faults",
    "acknowledged": "acknowledged",
    "lost": "of those lost",
    "run_again": "or run again",
    "stuck": "stuck for ever",
    "double_retries": "double retries",
    "damaged": "state file cut in half, resumed",
    "seconds": "seconds",
}
NOTES = (
    "Faults differ: archsearch gets kill -9 and pauses past the lease at workers, at the process "
    "that starts them and at drivers; Optuna gets kill -9 at workers (it has no driver); Ray Tune "
    "gets kill -9 at the driver alone.",
    "Optuna's documentation advises against SQLite for parallel work and calls its heartbeat "
    "experimental. Heartbeat 1 s, grace 2 s, trials of 0 to 0.2 s: trials that are long beside a "
    "heartbeat are killed less often before their first one, which is what leaves them stuck.",
    "Kills of Optuna's workers come at any moment after a worker has opened the study; those "
    "between two trials cost nothing. Its retries are unlimited here.",
    "A trial is stuck when it still counts as running after the grace is over and stale trials "
    "were failed twice.",
    "Trials of archsearch take 0 to 25 ms, so that its figures are of studies in which almost "
    "every moment is one of bookkeeping.",
    "Ray Tune saves its state every 10 s or more, so that what a kill costs is bounded by that; "
    "trials of 0.4 s show it at its worst, and one of hours loses nothing but the save. A trial "
    "counts as run again when Tune had told its callbacks that it was complete.",
    "State files are cut in half once nothing runs: for archsearch and Optuna after the kills, for "
    "Ray Tune in a finished experiment of its own that nobody killed.",
    "Seconds are of the whole row. Workers of archsearch and Optuna are forked from a process that "
    "has imported them, those of Ray are not: most of its seconds are Ray starting. Waiting for "
    "Optuna's grace after each study (6 s) is counted.",
    "Everything ran on one machine, one row after the other, while it had other work: compare "
    "counts, not seconds, where the load differs.",
)


def rows(kills: int | None) -> dict[str, Callable[[], dict[str, Any]]]:
    def dose(count: int) -> int:
        return count if kills is None else kills

    places = {"SQLite": None} | ({"PostgreSQL": POSTGRES} if POSTGRES else {})
    return {
        **{
            f"archsearch, {name}": partial(archsearch, url, dose(200))
            for name, url in places.items()
        },
        **{
            f"optuna, {name}": partial(plain_optuna, url, dose(100)) for name, url in places.items()
        },
        "ray tune, random search": partial(ray_tune, dose(20), "random"),
        "ray tune, OptunaSearch": partial(ray_tune, dose(10), "optuna"),
    }


def machine() -> dict[str, Any]:
    """What the faults were injected on."""
    info = Path("/proc/cpuinfo")
    models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": versions,
    }


def load() -> list[float]:
    return [round(one, 2) for one in os.getloadavg()]


def table(told: dict[str, dict[str, Any]]) -> Table:
    shown = Table(title="Kills at random moments", caption="counts over all studies of a row")
    shown.add_column("")
    for name, head in HEADS.items():
        shown.add_column(head, justify="left" if name == "damaged" else "right")
    for name, row in sorted(told.items()):
        shown.add_row(name, *(cell(row.get(key)) for key in HEADS))
    return shown


def cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case dict():
            return str(value["verdict"])
        case list():
            return "\n".join(f"{one['cut']}: {one['verdict']}" for one in value)
        case _:
            return str(value)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, help="faults of each row")
    options.add_argument("--only", action="append", help="rows whose name has this in it")
    chosen = options.parse_args()
    out = Console(width=160)
    if not POSTGRES:
        out.print("no PostgreSQL: run under tests/postgres.sh to have its rows")
    RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    told: dict[str, dict[str, Any]] = before.get("rows", {})
    for name, run in rows(chosen.kills).items():
        if chosen.only and not any(part in name for part in chosen.only):
            continue
        at_first = load()
        row = run()
        told[name] = row | {
            "load_before": at_first,
            "load_after": load(),
            "date": datetime.date.today().isoformat(),
        }
        out.print(f"{name}: {row}", highlight=False, markup=False)
        results = {"machine": machine(), "rows": told, "fairness": NOTES}
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    out.print(table(told))


if __name__ == "__main__":
    main()
