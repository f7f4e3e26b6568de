"""Weights used several times against weights of their own, who stops early, and more loops later.

    python benchmarks/depth.py --work depth-runs --workers 1    # three hours on one core
    python benchmarks/depth.py --work smoke --seeds 1 --tasks adding

Blocks of attention and a perceptron on tasks whose answers build on each other (parity and products
of S3 and S5 with sequences that grow in training, ListOps, Sudoku of 4 by 4), on one that asks for
no depth, the adding problem, and on parity where a block sees two steps back, so that late steps
take more loops than early ones; there also with steps that know their number, which shows before
the first loop how many it takes. Is a loop better than the same blocks once, at equal
parameters, and how near does it come to as many blocks with weights of their own, at equal applied
layers? Do sequences or steps that are harder get more loops where positions halt? Do more loops
than in training help, and does it take a random number of them in training? Paired differences over
seeds with 95 % intervals. Finished trainings are kept in the folder ``--work``. Writes
benchmarks/results/depth.json.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from depth_runs import (
    BATCH,
    DEEP,
    DEPTH_FREE,
    HALTING,
    LOOPED,
    LOOPS,
    NETWORKS,
    OTHER_LOOPS,
    SMALL,
    TASKS,
    TWICE,
    WIDTH,
    run,
    wanted,
)
from overhead import machine
from resumable import Runs, kept, options, run_all
from rich.console import Console
from rich.table import Table

from archsearch.select.statistics import paired

RESULTS = Path(__file__).parent / "results" / "depth.json"
FIELDS = ("network", "task", "seed")
MORE = 2 * LOOPS


def told(done: Runs, network: str, task: str, *places: str) -> dict[int, Any]:
    """One of the figures of a network on a task, by seed."""
    found = {}
    for (name, on, seed), figures in done.items():
        if (name, on) == (network, task):
            value: Any = figures
            for place in places:
                value = value.get(place) if isinstance(value, dict) else None
            if value is not None:
                found[seed] = value
    return found


def answer(task: str, question: str, differences: list[float]) -> list[dict[str, Any]]:
    """The mean of what the seeds gained, with its interval; nothing of fewer than two."""
    if len(differences) < 2:
        return []
    mean = paired(differences)
    assert mean.interval is not None
    return [
        {
            "task": task,
            "question": question,
            "gain": round(mean.mean, 4),
            "interval": [round(bound, 4) for bound in mean.interval],
            "seeds": len(differences),
        }
    ]


def against(one: dict[int, float], other: dict[int, float], sign: int = 1) -> list[float]:
    return [sign * (one[seed] - other[seed]) for seed in sorted(one.keys() & other.keys())]


def answers(done: Runs) -> list[dict[str, Any]]:
    found = []
    for task, setting in TASKS.items():
        sign = 1 if setting.metric == "accuracy" else -1
        tests = {name: told(done, name, task, "test") for name in NETWORKS}
        for question, one, other in (
            (f"{LOOPED} against {SMALL}, as many parameters", LOOPED, SMALL),
            (f"{LOOPED} against {DEEP}, as many applied layers", LOOPED, DEEP),
            *((f"{name} against {LOOPED}", name, LOOPED) for name in HALTING),
            *((f"{name} against {TWICE}", name, TWICE) for name in HALTING),
        ):
            found += answer(task, question, against(tests[one], tests[other], sign))
        for name in (LOOPED, *HALTING):
            if setting.loops(NETWORKS[name]) == LOOPS:
                more = told(done, name, task, "by_loops", str(MORE))
                as_trained = told(done, name, task, "by_loops", str(LOOPS))
                question = f"{name}: {MORE} loops against {LOOPS} in use"
                found += answer(task, question, against(more, as_trained, sign))
            thirds = told(done, name, task, "loops_by_difficulty").values()
            rises = [hard[1] - easy[1] for easy, _, hard in thirds]
            found += answer(task, f"{name}: loops of the hard third less the easy", rises)
    return found


def means(done: Runs) -> list[dict[str, Any]]:
    rows = []
    for task in TASKS:
        for name in NETWORKS:
            tests = told(done, name, task, "test")
            if not tests:
                continue
            by_loops = told(done, name, task, "by_loops").values()
            seed = min(tests)
            rows.append(
                {
                    "task": task,
                    "network": name,
                    "loops": TASKS[task].loops(NETWORKS[name]),
                    "parameters": done[(name, task, seed)]["parameters"],
                    "mean": round(statistics.mean(tests.values()), 4),
                    "each": [tests[seed] for seed in sorted(tests)],
                    "by_loops": {
                        str(loops): round(statistics.mean(each[str(loops)] for each in by_loops), 4)
                        for loops in OTHER_LOOPS
                        if by_loops
                    },
                    "loops_by_difficulty": list(
                        told(done, name, task, "loops_by_difficulty").values()
                    ),
                }
                | by_step(told(done, name, task, "by_step"))
            )
    return rows


def by_step(told: dict[int, dict[str, list[float]]]) -> dict[str, Any]:
    """The mean over seeds of what each step of a sequence took and how often it was right."""
    if not told:
        return {}
    return {
        "by_step": {
            figure: [
                round(statistics.mean(step), 4)
                for step in zip(*(each[figure] for each in told.values()), strict=True)
            ]
            for figure in ("loops", "accuracy")
        }
    }


def show(results: dict[str, Any]) -> None:
    loops = [str(number) for number in OTHER_LOOPS]
    each = Table("task", "network", "parameters", "test", *loops, title="means; by loops in use")
    for row in results["networks"]:
        more = [str(row["by_loops"].get(number, "")) for number in loops]
        each.add_row(
            row["task"], row["network"], str(row["parameters"]), f"{row['mean']:.4f}", *more
        )
    said = Table("task", "question", "gain", "95 % interval", "seeds")
    for row in results["answers"]:
        low, high = row["interval"]
        said.add_row(
            row["task"], row["question"], f"{row['gain']:+.4f}", f"{low:+.4f} to {high:+.4f}",
            str(row["seeds"]),
        )  # fmt: skip
    Console().print(each, said)


def main() -> None:
    parser = options(__doc__, RESULTS, seeds=4)
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, by commas")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    path = chosen.work / "runs.jsonl"
    done = kept(path, FIELDS)
    keys = [
        (name, task, seed)
        for seed in range(chosen.seeds)
        for task in chosen.tasks.split(",")
        for name in NETWORKS
        if wanted(name, task)
    ]
    jobs = [(key, key) for key in keys if key not in done]
    if jobs:
        until = time.monotonic() + 60 * chosen.minutes
        done |= run_all(jobs, run, path, FIELDS, workers=chosen.workers, until=until)
    results = {
        "machine": machine(),
        "width": WIDTH,
        "loops": LOOPS,
        "tasks": {
            name: {
                "task": str(setting.task),
                "metric": setting.metric,
                "steps": setting.steps,
                "batch": BATCH,
                "lr": setting.rate,
                "embed": str(setting.embed),
                "cell": str(setting.cell),
                "weight of act": setting.price,
                "tie": str(setting.tie),
                "asks for depth": name not in DEPTH_FREE,
            }
            for name, setting in TASKS.items()
        },
        "answers": answers(done),
        "networks": means(done),
    }
    show(results)
    chosen.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
