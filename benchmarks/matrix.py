"""Every cell on five tasks whose answers theory knows: what was measured beside what is expected.

    python benchmarks/matrix.py --work matrix-runs              # several hours on two cores
    python benchmarks/matrix.py --work smoke --cells gru,gla --tasks parity,adding

Finished runs are kept in the folder ``--work``, and a run that was killed goes on from there. They
come in rounds, one a seed and learning rate: first of what should be solved, for one failure says
little, then of what should not be, then of what nothing is expected of; what its seed has solved
already is not trained again. Expectations and
their sources are in matrix_expected.py, the settings in matrix_runs.py, what was found about each
disagreement in matrix_remarks.py. Writes benchmarks/results/matrix.json.
"""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import asdict
from pathlib import Path

from matrix_expected import MARKS, ROWS, TASKS, Row
from matrix_runs import SETTINGS, WIDTH, installed, run
from matrix_table import entry, show
from overhead import machine
from resumable import Runs, kept, options, run_all

RATES = 3  # of every task
ENDS = ("solved", "not applicable")  # another learning rate would add nothing
RESULTS = Path(__file__).parent / "results" / "matrix.json"
FIELDS = ("cell", "task", "seed", "lr")


def round_of(
    rows: list[Row], tasks: list[str], mark: str, seed: int, turn: int, done: Runs
) -> list[tuple[Row, str, int, float]]:
    """What one seed is still to learn at its ``turn``-th rate where ``mark`` is expected."""
    settled = {key[:3] for key, told in done.items() if told["outcome"] in ENDS}
    return [
        (row, task, seed, SETTINGS[task].rates[turn])
        for row in rows
        for task in tasks
        if row.expected[task] == mark
        and (str(row.cell), task, seed) not in settled
        and (str(row.cell), task, seed, SETTINGS[task].rates[turn]) not in done
    ]


def unlisted() -> list[str]:
    """Cells of the catalog without a row here."""
    listed = {row.cell.name for row in ROWS}
    return sorted(
        cell.name for cell in installed() if cell.kind == "cell" and cell.name not in listed
    )


def main() -> None:
    parser = options(__doc__, RESULTS, seeds=2)
    parser.add_argument("--cells", default="", help="names, by commas; all by default")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, by commas")
    chosen = parser.parse_args()
    names = set(filter(None, chosen.cells.split(",")))
    tasks = [task for task in TASKS if task in chosen.tasks.split(",")]
    rows = [row for row in ROWS if not names or row.cell.name in names]
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "runs.jsonl"
    done = kept(path, FIELDS)
    until = time.monotonic() + 60 * chosen.minutes
    for mark, seed, turn in itertools.product(MARKS, range(chosen.seeds), range(RATES)):
        jobs = round_of(rows, tasks, mark, seed, turn, done)
        if jobs and time.monotonic() < until:
            done |= run_all(
                [((str(row.cell), *rest), (row.cell, *rest)) for row, *rest in jobs],
                run,
                path,
                FIELDS,
                workers=chosen.workers,
                until=until,
                title=f"{MARKS[mark]} seed {seed}, rate {turn + 1}",
            )
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
