"""Every cell on five tasks whose answers theory knows: what was measured beside what is expected.

    python benchmarks/matrix.py --work matrix-runs              # several hours on two cores
    python benchmarks/matrix.py --work smoke --cells gru,gla --tasks parity,adding

Finished runs are kept in the folder ``--work``, and a run that was killed goes on from there. They
come in rounds, one a seed and learning rate, the most telling rows first, so that a run cut short
covers many rows once; what its seed has solved already is not trained again. Expectations and
their sources are in matrix_expected.py, the settings in matrix_runs.py, what was found about each
disagreement in matrix_remarks.py. Writes benchmarks/results/matrix.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matrix_expected import ROWS, TASKS, Row
from matrix_runs import SETTINGS, WIDTH, installed, run
from matrix_table import entry, show
from overhead import machine
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

RATES = max(len(setting.rates) for setting in SETTINGS.values())
ENDS = ("solved", "not applicable")  # another learning rate would add nothing
COLUMNS = (
    TextColumn("{task.description:60}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)
RESULTS = Path(__file__).parent / "results" / "matrix.json"
Key = tuple[str, str, int, float]
Job = tuple[Row, str, int, float]
Runs = dict[Key, dict[str, Any]]


def kept(path: Path) -> Runs:
    """The finished runs of a folder; a line that a kill cut short is not one, nor an empty one."""
    found: Runs = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[told["cell"], told["task"], told["seed"], told["lr"]] = told
    return found


def round_of(rows: list[Row], tasks: list[str], seed: int, turn: int, done: Runs) -> list[Job]:
    """What one seed is still to learn at the ``turn``-th learning rate of each task.

    What should be solved and was not comes first, what nothing is expected of last.
    """
    settled = {key[:3] for key, told in done.items() if told["outcome"] in ENDS}
    found = [
        (row, task, seed, SETTINGS[task].rates[turn])
        for row in rows
        for task in tasks
        if turn < len(SETTINGS[task].rates)
        and (str(row.cell), task, seed) not in settled
        and (str(row.cell), task, seed, SETTINGS[task].rates[turn]) not in done
    ]
    order = "yn?" if turn else "?"
    return sorted(found, key=lambda job: order.find(job[0].expected[job[1]]))


def train_all(jobs: list[Job], path: Path, workers: int, until: float, title: str) -> Runs:
    """Runs jobs in their order until all are done or time is up; each is kept as it ends."""
    found: Runs = {}
    spawn = multiprocessing.get_context("spawn")
    with (
        Progress(*COLUMNS, console=Console()) as bar,
        path.open("a") as file,
        ProcessPoolExecutor(workers, mp_context=spawn) as pool,
    ):
        shown = bar.add_task(title, total=len(jobs))
        left, running = iter(jobs), {}  # type: ignore[var-annotated]
        while True:
            while len(running) < workers and time.monotonic() < until and (job := next(left, None)):
                running[pool.submit(run, job[0].cell, *job[1:])] = (str(job[0].cell), *job[1:])
            if not running:
                return found
            ended = next(as_completed(running))
            key = running.pop(ended)
            named = dict(zip(("cell", "task", "seed", "lr"), key, strict=True))
            found[key] = named | ended.result()
            file.write("\n" + json.dumps(found[key]) + "\n")
            file.flush()
            bar.update(shown, advance=1, description=f"{title}: {key[1]}, {key[0]}")


def unlisted() -> list[str]:
    """Cells of the catalog without a row here."""
    listed = {row.cell.name for row in ROWS}
    return sorted(
        cell.name for cell in installed() if cell.kind == "cell" and cell.name not in listed
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--work", type=Path, required=True, help="folder of finished runs")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--cells", default="", help="names, by commas; all by default")
    options.add_argument("--tasks", default=",".join(TASKS), help="names, by commas")
    options.add_argument("--minutes", type=float, default=24 * 60, help="start nothing thereafter")
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    names = set(filter(None, chosen.cells.split(",")))
    tasks = [task for task in TASKS if task in chosen.tasks.split(",")]
    rows = [row for row in ROWS if not names or row.cell.name in names]
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "runs.jsonl"
    done = kept(path)
    until = time.monotonic() + 60 * chosen.minutes
    for seed, turn in itertools.product(range(chosen.seeds), range(RATES)):
        jobs = round_of(rows, tasks, seed, turn, done)
        if jobs and time.monotonic() < until:
            title = f"seed {seed}, rate {turn + 1}"
            done |= train_all(jobs, path, chosen.workers, until, title)
    entries = [entry(row, task, list(done.values())) for row in rows for task in tasks]
    show(entries, tasks)
    results = {
        "machine": machine(),
        "width": WIDTH,
        "settings": {
            task: asdict(SETTINGS[task]) | {"task": str(SETTINGS[task].task)} for task in tasks
        },
        "entries": [told for told in entries if told["runs"]],
        "not run": [[told["cell"], told["task"]] for told in entries if not told["runs"]],
        "cells without a row": unlisted(),
    }
    chosen.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
