"""Gating, attention and recurrence as three switches, each turned in small networks.

    python benchmarks/deconstruct.py --work deconstruct-runs            # an hour on one core
    python benchmarks/deconstruct.py --work smoke --seeds 1 --networks gru --tasks lorenz96

Heidenreich et al. 2024, arXiv 2410.02654, report that gating and attention improve recurrent
networks, that recurrence harms Transformers, and that a recurrent highway network with gates and
attention forecasts chaos best. The networks of deconstruct_runs.py put that to the test at a small
size, on the Lorenz-96 ring and half-hourly solar power; deconstruct_answers.py compares them.
Finished trainings are kept in the folder ``--work``, seed after seed, and what was killed goes on
from there. Writes benchmarks/results/deconstruct.json.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from deconstruct_answers import answers, table
from deconstruct_runs import BATCH, HEADS, NETWORKS, RATE, STEPS, TASKS, WIDTH, run
from overhead import machine
from resumable import kept, options, run_all
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

COLUMNS = (
    TextColumn("{task.description:60}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)
RESULTS = Path(__file__).parent / "results" / "deconstruct.json"
FIELDS = ("network", "task", "seed")


def show(results: dict[str, Any]) -> None:
    networks = Table("network", *TASKS, title="mean test error ± deviation over the seeds")
    for name in dict.fromkeys(row["network"] for row in results["networks"]):
        rows = {row["task"]: row for row in results["networks"] if row["network"] == name}
        networks.add_row(name, *(_spell(rows.get(task)) for task in TASKS))
    told = Table("claim", "task", "change of error", "95 % interval", "seen?", "trainings")
    for row in results["answers"]:
        change, bounds = row.get("change"), row.get("interval", ())
        told.add_row(
            row["question"], row["task"], "" if change is None else f"{change:+.1%}",
            " to ".join(f"{bound:+.1%}" for bound in bounds),
            row["answer"] + (f", place {row['place']}" if "place" in row else ""),
            str(row.get("trainings", "")),
        )  # fmt: skip
    Console().print(networks, told)


def _spell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    deviation = row["deviation"]
    return f"{row['error']:.4f}" + ("" if deviation is None else f" ± {deviation:.4f}")


def main() -> None:
    parser = options(__doc__, RESULTS, seeds=3)
    parser.add_argument("--networks", default="", help="cells, by commas; all by default")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, by commas")
    chosen = parser.parse_args()
    cells = set(filter(None, chosen.networks.split(",")))
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "runs.jsonl"
    done = kept(path, FIELDS)
    jobs = [
        (network, task, seed)
        for seed in range(chosen.seeds)
        for task in TASKS
        if task in chosen.tasks.split(",")
        for network in NETWORKS
        if (not cells or network.cell in cells) and (network.name, task, seed) not in done
    ]
    if jobs:
        until = time.monotonic() + 60 * chosen.minutes
        done |= run_all(
            [((network.name, *rest), (network, *rest)) for network, *rest in jobs],
            run,
            path,
            FIELDS,
            workers=chosen.workers,
            until=until,
        )
    results = {
        "machine": machine(),
        "width": WIDTH,
        "heads": HEADS,
        "training": {"steps": STEPS, "batch": BATCH, "lr": RATE, "seeds": chosen.seeds},
        "tasks": {name: {"task": str(task), "error": metric}
                  for name, (task, metric) in TASKS.items()},
        "answers": answers(done),
        "networks": table(done),
        "runs": sorted(done.values(), key=lambda told: (told["task"], told["network"],
                                                        told["seed"])),
    }  # fmt: skip
    show(results)
    chosen.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
