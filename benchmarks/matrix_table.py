"""The matrix as a table: what each cell did on a task beside what was expected, and the verdict."""

from __future__ import annotations

from collections import Counter
from typing import Any

from matrix_expected import MARKS, SOURCES, TASKS, Row
from matrix_remarks import REMARKS
from matrix_runs import SETTINGS, best_rate
from rich.console import Console
from rich.table import Table

RANKED = ("solved", "partial", "failed", "diverged", "not applicable")
SHOWN = {"solved": "✓", "partial": "◐", "failed": "✗", "diverged": "!", "not applicable": "-"}
COLOURS = {"agree": "green", "disagree": "red", "open": "yellow"}


def entry(row: Row, task: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One place of the matrix: the best outcome of the seeds, and whether it was expected."""
    name, expected = str(row.cell), row.expected[task]
    here = [told for told in runs if (told["cell"], told["task"]) == (name, task)]
    seeds = sorted({told["seed"] for told in here})
    counted = [best_rate(task, [told for told in here if told["seed"] == seed]) for seed in seeds]
    reached = [told["outcome"] for told in counted]
    best = min(reached, key=RANKED.index, default="")
    found = {
        "cell": name,
        "task": task,
        "family": row.family,
        "expected": MARKS[expected],
        "source": SOURCES[row.family][TASKS.index(task)],
        "outcome": best,
        "solved": f"{reached.count('solved')} of {len(reached)}",
        "verdict": verdict(expected, best),
        "best of each seed": counted,
        "runs": len(here),
    }
    if found["verdict"] == "disagree" and (remark := REMARKS.get((name, task))):
        found["remarks"] = remark
    return found


def verdict(expected: str, outcome: str) -> str:
    """``open`` where nothing is expected or nothing was measured.

    A mark says what a cell is able to, so one seed that solves is enough for it and against it.
    """
    if expected == "?" or outcome in ("", "not applicable"):
        return "open"
    return "agree" if (outcome == "solved") == (expected == "y") else "disagree"


def value(told: dict[str, Any]) -> str:
    """The metric of the best seed, and in parentheses how many seeds solved."""
    setting = SETTINGS[told["task"]]
    scores = [run["test"] for run in told["best of each seed"] if run.get("test")]
    if not scores:
        return ""
    key = max if setting.metric != "mse" else min
    best = key(scores, key=lambda score: score[setting.metric])
    shown = f"{best[setting.metric]:.3f}"
    if setting.within:
        shown = f"{best[setting.within]:.2f}/{shown}"
    return shown


def show(entries: list[dict[str, Any]], tasks: list[str]) -> None:
    table = Table(
        title="measured, outcome, expected; parity and s3: accuracy at length 40 / at 256; "
        "adding: mean squared error",
        caption="✓ solved  ◐ at the length of training only  ✗ not  ~ not settled  (solving seeds)",
    )
    table.add_column("cell", overflow="fold")
    for task in tasks:
        table.add_column(task, no_wrap=True)
    for cell in dict.fromkeys(told["cell"] for told in entries):
        here = {told["task"]: told for told in entries if told["cell"] == cell}
        if any(told["runs"] for told in here.values()):
            table.add_row(cell, *(_place(here[task]) for task in tasks))
    console = Console()
    console.print(table)
    counts = Counter(told["verdict"] for told in entries if told["runs"])
    console.print(", ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    for told in entries:
        if told["runs"] and told["verdict"] == "disagree":
            remark = told.get("remarks", "no remark yet")
            console.print(
                f"{told['cell']}, {told['task']}: expected {told['expected']}, "
                f"{told['outcome']} ({told['solved']}): {remark}",
                highlight=False,
            )


def _place(told: dict[str, Any]) -> str:
    if not told["runs"]:
        return ""
    colour = COLOURS[told["verdict"]]
    solved = told["solved"].replace(" of ", "/")
    return f"[{colour}]{value(told)} {SHOWN[told['outcome']]}({solved}) exp {told['expected']}[/]"
