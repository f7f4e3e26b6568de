"""Training throughput of every cell beside torch's own layers, in one model skeleton, one thread.

    python benchmarks/throughput.py                       # under ten minutes
    python benchmarks/throughput.py --only gla --only mamba

A training step is forward, backward and an optimizer step of a model of width 64 and depth 2 on
32 sequences of 256 steps in single precision. Runs in the environment that workers get. Models
are measured in turns, one after the other, so that whatever else the machine does meets all of
them; figures are medians of processor time. Writes benchmarks/results/throughput.json, where
processors with other instructions have results of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernels import as_a_worker, machine
from rich.console import Console
from rich.table import Table
from throughput_models import ROWS, STEPS, candidates, trained

RESULTS = Path(__file__).parent / "results" / "throughput.json"
REFERENCE = "nn.LSTM"
SECONDS = 6.0  # of each model, if its steps are short enough
FEWEST, MOST = 3, 41  # steps of each model


def measured(
    models: dict[str, Callable[[], object]], seconds: float = SECONDS
) -> dict[str, list[float]]:
    """Seconds of processor time of each training step, in turns until each has had its share."""
    spent: dict[str, list[float]] = {name: [] for name in models}
    for name, step in models.items():
        began = time.perf_counter()
        step()
        print(f"{name}: first step {time.perf_counter() - began:.2f} s", flush=True)
    waiting = list(models)
    while waiting:
        for name in waiting:
            began = time.process_time()
            models[name]()
            spent[name].append(time.process_time() - began)
        waiting = [
            name
            for name in waiting
            if len(spent[name]) < FEWEST or (len(spent[name]) < MOST and sum(spent[name]) < seconds)
        ]
    return spent


def rows_of(spent: dict[str, list[float]], families: dict[str, str]) -> list[dict[str, Any]]:
    """The fastest first; a ratio above one is faster than :data:`REFERENCE`."""
    typical = {name: statistics.median(times) for name, times in spent.items()}
    return [
        {
            "model": name,
            "family": families[name],
            "tokens_per_s": round(ROWS * STEPS / typical[name]),
            "ms_per_step": round(1000 * typical[name], 2),
            "times_lstm": round(typical[REFERENCE] / typical[name], 2),
            "steps_measured": len(spent[name]),
        }
        for name in sorted(typical, key=typical.__getitem__)
    ]


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("model", "family", title=f"training, {ROWS} x {STEPS} steps, one thread")
    for title in ("tokens/s", "ms/step", f"x {REFERENCE}"):
        table.add_column(title, justify="right")
    for row in rows:
        figures = (
            f"{row['tokens_per_s']:,}",
            f"{row['ms_per_step']:.1f}",
            f"{row['times_lstm']:.2f}",
        )
        own = row["family"] == "torch"
        table.add_row(row["model"], row["family"], *figures, style="bold" if own else "")
    Console().print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", help="a cell; nn.LSTM is always measured")
    chosen = options.parse_args().only
    as_a_worker()
    facts = machine()
    found = {
        name: entry
        for name, entry in candidates().items()
        if not chosen or name in (*chosen, REFERENCE)
    }
    spent = measured({name: trained(entry.build) for name, entry in found.items()})
    rows = rows_of(spent, {name: entry.family for name, entry in found.items()})
    show(rows)
    if not chosen:
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        known[facts["instructions"]] = {"machine": facts, "rows": rows}
        RESULTS.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
