"""What each option of each cell costs in training, as a ratio to the cell's defaults.

    python benchmarks/options.py                          # some ten minutes
    python benchmarks/options.py --only mlstm --only titans

The models and batches are those of throughput.py: width 64, depth 2, 32 sequences of 256 steps,
single precision, one thread, in the environment that workers get. A cell's settings, its defaults
with one option changed, are measured in turns; figures are medians of processor time. Writes
benchmarks/results/options.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from pathlib import Path
from typing import Any

from kernels import as_a_worker, machine
from rich.console import Console
from rich.table import Table
from throughput import measured
from throughput_models import STEPS, WIDTH, trained

from archsearch.cells.declared import CELLS
from archsearch.errors import ArchitectureError
from archsearch.plugins import implementation
from archsearch.spec.catalog import CellType
from archsearch.testing.variants import variants

RESULTS = Path(__file__).parent / "results" / "options.json"
SECONDS = 0.8  # of each setting
DEFAULTS = "defaults"


def settings(cell: CellType) -> dict[str, dict[str, Any]]:
    """By what differs from the defaults, what a cell is built with."""
    given = {"length": STEPS} if "length" in cell.options else {}
    first, *others = variants(cell)
    found = {DEFAULTS: first | given}
    for options in others:
        changed = {key: value for key, value in options.items() if first.get(key) != value}
        told = ", ".join(f"{key}={value}" for key, value in changed.items() if key not in given)
        if told:
            found[told] = options | given
    return found


def compared(cell: CellType) -> list[dict[str, Any]]:
    """The slowest first; those that do not fit the width are left out."""
    steps = {}
    for told, options in settings(cell).items():
        try:
            steps[told] = trained(partial(implementation(cell), WIDTH, **options))
        except ArchitectureError as error:
            print(f"{cell.name}({told}): {error}")
    spent = measured(steps, SECONDS)
    typical = {told: statistics.median(times) for told, times in spent.items()}
    rows = [
        {
            "options": told,
            "ms_per_step": round(1000 * seconds, 2),
            "times_defaults": round(seconds / typical[DEFAULTS], 2),
        }
        for told, seconds in typical.items()
    ]
    return sorted(rows, key=lambda row: -row["times_defaults"])


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    table = Table("cell", "options", title="a training step beside that of the defaults")
    for title in ("ms", "times the defaults"):
        table.add_column(title, justify="right")
    for name, rows in found.items():
        for row in rows:
            figures = f"{row['ms_per_step']:.1f}", f"{row['times_defaults']:.2f}"
            table.add_row(name, row["options"], *figures)
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", help="a cell; the figures of others stay")
    chosen = parser.parse_args().only
    as_a_worker()
    facts = machine()
    cells = [cell for cell in CELLS if not chosen or cell.name in chosen]
    found = {cell.name: compared(cell) for cell in cells}
    show(found)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    here = known.setdefault(facts["instructions"], {"cells": {}})
    here["machine"] = facts
    here["cells"] |= found
    RESULTS.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
