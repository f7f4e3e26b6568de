"""Large and sparse against small and dense, which zeros matter, and what they save in time.

    python benchmarks/sparsity.py --work sparsity-runs          # an hour on two cores
    python benchmarks/sparsity.py --work smoke --seeds 1 --tasks reber
    python benchmarks/sparsity.py --work sparsity-runs --speed  # the times alone, minutes

Three questions, each with paired differences over seeds and a 95 % interval: does a large LSTM with
zeros beat a narrow one with as many weights; is magnitude pruning or RigL better than a mask drawn
at random; do the weights of the input or those of the state bear more zeros? On strings of the
embedded Reber grammar with hard mistakes, and on a page of text. Then the time of one matrix
product, dense, masked, smaller, and as CSR, and of a whole model in these forms, beside its
operations and bytes. Finished trainings are kept in the folder ``--work``.
Writes benchmarks/results/sparsity.json.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from overhead import machine
from resumable import Runs, kept, options, run_all
from rich.console import Console
from rich.table import Table
from sparsity_models import table as whole_models
from sparsity_runs import DENSITIES, LARGE, METHODS, PLACES, TASKS, narrow, networks, run
from sparsity_speed import table as speeds

from archsearch.select.statistics import paired

RESULTS = Path(__file__).parent / "results" / "sparsity.json"
HOME = Path(__file__).parents[1]
FIELDS = ("network", "task", "seed")
QUESTIONS = (
    *(
        (f"large with {density:g} of its weights against width {narrow(density)}",
         f"magnitude {density:g}", f"narrow {density:g}")
        for density in DENSITIES
    ),
    *(
        (f"{method} against random at {density:g}", f"{method} {density:g}", f"random {density:g}")
        for method in METHODS[1:]
        for density in DENSITIES
    ),
    *(
        (f"{density:g} left of the state's weights against of the input's",
         f"one_shot {PLACES[1]} {density:g}", f"one_shot {PLACES[2]} {density:g}")
        for density in DENSITIES
    ),
)  # fmt: skip


def answers(done: Runs) -> list[dict[str, Any]]:
    """Per question and task the mean gain of the first over the second; above zero is better."""
    found = []
    for task, (_, metric, *_rest) in TASKS.items():
        sign = 1 if metric == "accuracy" else -1
        for question, one, other in QUESTIONS:
            scores = [
                [done.get((name, task, seed), {}).get("test") for name in (one, other)]
                for seed in sorted({key[2] for key in done})
            ]
            pairs = [(a, b) for a, b in scores if a is not None and b is not None]
            if len(pairs) < 2:
                continue
            told = paired([sign * (a - b) for a, b in pairs])
            assert told.interval is not None
            found.append(
                {
                    "task": task,
                    "question": question,
                    "metric": metric,
                    "gain": round(told.mean, 4),
                    "interval": [round(bound, 4) for bound in told.interval],
                    "seeds": len(pairs),
                }
            )
    return found


def means(done: Runs) -> list[dict[str, Any]]:
    rows = []
    for name in networks():
        for task in TASKS:
            here = [told for key, told in done.items() if key[:2] == (name, task)]
            scores = [told["test"] for told in here if "test" in told]
            if scores:
                rows.append(
                    {
                        "network": name,
                        "task": task,
                        "weights": here[0]["weights"],
                        "mean": round(statistics.mean(scores), 4),
                        "each": scores,
                    }
                )
    return rows


def show(results: dict[str, Any]) -> None:
    told = Table("task", "network", "weights", "test", title="mean over the seeds")
    for row in results["networks"]:
        told.add_row(row["task"], row["network"], str(row["weights"]), f"{row['mean']:.4f}")
    said = Table("task", "question", "gain", "95 % interval", "seeds")
    for row in results["answers"]:
        low, high = row["interval"]
        said.add_row(
            row["task"], row["question"], f"{row['gain']:+.4f}", f"{low:+.4f} to {high:+.4f}",
            str(row["seeds"]),
        )  # fmt: skip
    fast = Table("size", "columns", "zeros", "CSR", "rows taken out", "mask at every call",
                 title="speed over the fastest dense product")  # fmt: skip
    for row in results["speed"]:
        times = row["times_dense"]
        fast.add_row(
            str(row["size"]), str(row["columns"]), f"{row['sparsity']:.0%}",
            *(f"{times[name]:.2f}" for name in ("CSR", "rows taken out", "mask at every call")),
        )  # fmt: skip
    whole = Table("batch", "form", "zeros", "density", "kFLOP a step", "kB", "processor ms",
                  "clock ms", "least", title="a whole model, zeros in its perceptrons")  # fmt: skip
    for row in results["models"]:
        times = [row.get(name) for name in ("processor_us", "clock_us", "least_us")]
        whole.add_row(
            str(row["batch"]), row["form"], f"{row['zeros']:.0%}", f"{row['density_all']:.3f}",
            f"{row['flops_of_a_step'] / 1000:.0f}", f"{row['bytes'] / 1000:.0f}",
            *(f"{t / 1000:.3f}" if isinstance(t, float) else t or "" for t in times),
        )  # fmt: skip
    Console().print(told, said, fast, whole)


def main() -> None:
    parser = options(__doc__, RESULTS, seeds=3)
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, by commas")
    parser.add_argument("--speed", action="store_true", help="time again, train nothing")
    chosen = parser.parse_args()
    if chosen.speed:
        results = json.loads(chosen.out.read_text())
        results |= {"speed_machine": machine(), "models": whole_models(), "speed": speeds()}
        show(results)
        chosen.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        return
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "runs.jsonl"
    done = kept(path, FIELDS)
    keys = [
        (name, task, seed)
        for seed in range(chosen.seeds)
        for task in chosen.tasks.split(",")
        for name in networks()
    ]
    jobs = [(key, key) for key in keys if key not in done]
    if jobs:
        until = time.monotonic() + 60 * chosen.minutes
        done |= run_all(jobs, run, path, FIELDS, workers=chosen.workers, until=until)
    results = {
        "machine": machine(),
        "large": LARGE,
        "tasks": {
            name: {
                "task": str(task).replace(f"{HOME}/", ""),
                "metric": metric,
                "steps": steps,
                "batch": batch,
                "lr": rate,
            }
            for name, (task, metric, steps, batch, rate) in TASKS.items()
        },
        "answers": answers(done),
        "networks": means(done),
        "speed": speeds(),
        "models": whole_models(),
    }
    show(results)
    chosen.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
